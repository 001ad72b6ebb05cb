//! The settings of a LLaMA, read from `config.json` in the spelling of Hugging Face.

use std::path::Path;

use screader_kernels::rotary::RopeScaling;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The shape of a LLaMA-family decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads, a divisor of the query heads.
    pub num_key_value_heads: usize,
    /// Width of one head; `hidden_size / num_attention_heads` unless stated.
    pub head_dim: usize,
    /// The constant under the root of the normalisation.
    pub rms_norm_eps: f64,
    /// The base of the rotary frequencies.
    pub rope_theta: f64,
    /// The stretching of the rotary frequencies.
    pub rope_scaling: RopeScaling,
    /// Whether the output head shares the token embeddings.
    pub tie_word_embeddings: bool,
    /// Whether the four attention projections add a bias.
    pub attention_bias: bool,
    /// Whether the three MLP projections add a bias.
    pub mlp_bias: bool,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// The trained context in tokens.
    pub max_position_embeddings: usize,
}

impl LlamaConfig {
    /// Read `config.json` of a checkpoint folder.
    ///
    /// # Errors
    /// Names the key when the architecture, the activation, the rope type or a size is not one of a
    /// LLaMA-family decoder.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        Self::parse(&text, &path)
    }

    /// Read the text of a `config.json`; `path` is named in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Error::checkpoint(path, "(whole file)", "JSON", error))?;
        let Value::Object(map) = value else {
            return Err(Error::checkpoint(path, "(whole file)", "a JSON object", kind(&value)));
        };
        let settings = Settings { map: &map, path, prefix: "" };
        settings.refuse_other_architectures()?;
        let hidden_size = settings.count("hidden_size")?;
        let num_attention_heads = settings.count("num_attention_heads")?;
        let (rope_theta, rope_scaling) = settings.rope()?;
        let config = Self {
            hidden_size,
            intermediate_size: settings.count("intermediate_size")?,
            num_hidden_layers: settings.count("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: settings
                .optional_count("num_key_value_heads")?
                .unwrap_or(num_attention_heads),
            head_dim: settings
                .optional_count("head_dim")?
                .unwrap_or(hidden_size / num_attention_heads),
            rms_norm_eps: settings.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            tie_word_embeddings: settings.flag("tie_word_embeddings")?,
            attention_bias: settings.flag("attention_bias")?,
            mlp_bias: settings.flag("mlp_bias")?,
            vocab_size: settings.count("vocab_size")?,
            max_position_embeddings: settings
                .optional_count("max_position_embeddings")?
                .unwrap_or(2048),
        };
        config.check(&settings)?;
        Ok(config)
    }

    fn check(&self, settings: &Settings) -> Result<()> {
        let heads = self.num_attention_heads;
        if !heads.is_multiple_of(self.num_key_value_heads) {
            return settings.refuse(
                "num_key_value_heads",
                format!("a divisor of num_attention_heads = {heads}"),
                self.num_key_value_heads,
            );
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            return settings.refuse("head_dim", "an even width", self.head_dim);
        }
        if !settings.map.contains_key("head_dim") && self.head_dim * heads != self.hidden_size {
            return settings.refuse(
                "hidden_size",
                format!("a multiple of num_attention_heads = {heads}"),
                self.hidden_size,
            );
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps > 0.0) {
            return settings.refuse("rms_norm_eps", "a positive number", self.rms_norm_eps);
        }
        Ok(())
    }

    /// Give the width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Give the width of all key heads together.
    pub fn key_value_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Count the parameters of the decoder, embeddings included once when tied.
    pub fn parameter_count(&self) -> usize {
        let (h, i) = (self.hidden_size, self.intermediate_size);
        let (q, k) = (self.query_width(), self.key_value_width());
        let attention = 2 * h * q + 2 * h * k;
        let attention_bias = if self.attention_bias { q + 2 * k + h } else { 0 };
        let mlp_bias = if self.mlp_bias { 2 * i + h } else { 0 };
        let layer = attention + attention_bias + 3 * h * i + mlp_bias + 2 * h;
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        self.num_hidden_layers * layer + h + tables * self.vocab_size * h
    }
}

/// One JSON object of settings, with the file and the prefix that errors name.
struct Settings<'a> {
    map: &'a Map<String, Value>,
    path: &'a Path,
    prefix: &'a str,
}

impl Settings<'_> {
    fn refuse<T>(
        &self,
        key: &str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Result<T> {
        Err(Error::checkpoint(self.path, format!("{}{key}", self.prefix), expected, found))
    }

    /// The value of a key; `null` counts as absent, as it does for transformers.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn optional_count(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        // A size beyond this is a forged file: it would only exhaust memory.
        match value.as_u64().filter(|&count| count > 0 && count < (1 << 31)) {
            Some(count) => Ok(Some(count as usize)),
            None => self.refuse(key, "a positive whole number under 2^31", value),
        }
    }

    fn count(&self, key: &str) -> Result<usize> {
        match self.optional_count(key)? {
            Some(count) => Ok(count),
            None => self.refuse(key, "a positive whole number", "nothing"),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => self.refuse(key, "a number", value),
        }
    }

    fn positive(&self, key: &str) -> Result<Option<f64>> {
        match self.number(key)? {
            Some(number) if number <= 0.0 => self.refuse(key, "a positive number", number),
            number => Ok(number),
        }
    }

    fn required_positive(&self, key: &str) -> Result<f64> {
        match self.positive(key)? {
            Some(number) => Ok(number),
            None => self.refuse(key, "a positive number", "nothing"),
        }
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => self.refuse(key, "true or false", value),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => self.refuse(key, "a string", value),
        }
    }

    fn refuse_other_architectures(&self) -> Result<()> {
        match self.text("model_type")? {
            Some("llama" | "mistral") => {}
            Some(other) => {
                return self.refuse("model_type", "llama (or mistral without a window)", other);
            }
            None => return self.refuse("model_type", "llama", "nothing"),
        }
        let known = ["LlamaForCausalLM", "LlamaModel", "MistralForCausalLM", "MistralModel"];
        if let Some(value) = self.get("architectures") {
            let names = value.as_array().cloned().unwrap_or_default();
            let all_known =
                names.iter().all(|name| name.as_str().is_some_and(|name| known.contains(&name)));
            if names.is_empty() || !all_known {
                return self.refuse("architectures", known.join(" or "), value);
            }
        }
        if let Some(window) = self.get("sliding_window") {
            return self.refuse("sliding_window", "null: full attention", window);
        }
        if self.get("quantization_config").is_some() {
            return self.refuse(
                "quantization_config",
                "f32, f16 or bf16 weights",
                "a quantised checkpoint",
            );
        }
        match self.text("hidden_act")? {
            None | Some("silu") => {}
            Some(other) => return self.refuse("hidden_act", "silu", other),
        }
        match self.number("partial_rotary_factor")? {
            None | Some(1.0) => Ok(()),
            Some(other) => self.refuse("partial_rotary_factor", "1", other),
        }
    }

    /// The rotary settings, `rope_parameters` of transformers 5 or `rope_theta` and `rope_scaling` before.
    fn rope(&self) -> Result<(f64, RopeScaling)> {
        let outer_theta = self.positive("rope_theta")?;
        let (key, prefix) = match (self.get("rope_parameters"), self.get("rope_scaling")) {
            (Some(_), _) => ("rope_parameters", "rope_parameters."),
            (None, Some(_)) => ("rope_scaling", "rope_scaling."),
            (None, None) => return Ok((outer_theta.unwrap_or(10_000.0), RopeScaling::Default)),
        };
        let Some(Value::Object(map)) = self.get(key) else {
            return self.refuse(key, "an object", self.get(key).map_or("nothing", kind));
        };
        let rope = Settings { map, path: self.path, prefix };
        let theta = rope.positive("rope_theta")?.or(outer_theta).unwrap_or(10_000.0);
        if let Some(factor) = rope.number("partial_rotary_factor")?.filter(|factor| *factor != 1.0)
        {
            return rope.refuse("partial_rotary_factor", "1", factor);
        }
        let type_key = if rope.get("rope_type").is_some() { "rope_type" } else { "type" };
        let scaling = match rope.text(type_key)? {
            None if key == "rope_parameters" => RopeScaling::Default,
            None => return rope.refuse("rope_type", "default, linear or llama3", "nothing"),
            Some("default") => RopeScaling::Default,
            Some("linear") => RopeScaling::Linear { factor: rope.required_positive("factor")? },
            Some("llama3") => rope.llama3(self)?,
            Some(other) => return rope.refuse(type_key, "default, linear or llama3", other),
        };
        Ok((theta, scaling))
    }

    fn llama3(&self, outer: &Settings) -> Result<RopeScaling> {
        let key = "original_max_position_embeddings";
        let low_freq_factor = self.required_positive("low_freq_factor")?;
        let high_freq_factor = self.required_positive("high_freq_factor")?;
        if high_freq_factor <= low_freq_factor {
            return self.refuse(
                "high_freq_factor",
                format!("more than low_freq_factor = {low_freq_factor}"),
                high_freq_factor,
            );
        }
        let original = match (self.positive(key)?, outer.positive(key)?) {
            (Some(original), _) | (None, Some(original)) => original,
            (None, None) => outer.required_positive("max_position_embeddings")?,
        };
        Ok(RopeScaling::Llama3 {
            factor: self.required_positive("factor")?,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: original,
        })
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
