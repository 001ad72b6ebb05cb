//! What questions cost: estimated before, counted after, and stopped in time.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ChatAnswer, ChatModel, ChatRequest, Tool, ToolRound, Turn, Usage};
use crate::service::{estimate_tokens, is_this_machine};
use crate::{Error, Result};

/// When the built-in prices were on OpenAI's list.
pub const PRICES_OF: &str = "spring 2026";
/// Model, US dollars for a million tokens of question, and of answer.
const KNOWN: [(&str, f64, f64); 15] = [
    ("gpt-3.5-turbo", 0.50, 1.50),
    ("gpt-4", 30.00, 60.00),
    ("gpt-4-turbo", 10.00, 30.00),
    ("gpt-4o", 2.50, 10.00),
    ("gpt-4o-mini", 0.15, 0.60),
    ("gpt-4.1", 2.00, 8.00),
    ("gpt-4.1-mini", 0.40, 1.60),
    ("gpt-4.1-nano", 0.10, 0.40),
    ("gpt-5", 1.25, 10.00),
    ("gpt-5.1", 1.25, 10.00),
    ("gpt-5.4", 2.50, 15.00),
    ("gpt-5-mini", 0.25, 2.00),
    ("gpt-5-nano", 0.05, 0.40),
    ("o3", 2.00, 8.00),
    ("o4-mini", 1.10, 4.40),
];
/// Tokens that an answer of no stated length is taken to have.
pub(super) const ANSWER_TOKENS: u64 = 1000;
/// Tokens that a provider adds to each message.
const TOKENS_A_MESSAGE: u64 = 4;
const MILLION: f64 = 1e6;

/// What a provider takes, in US dollars for a million tokens. Fees for searches come on top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChatPrice {
    /// Of the question.
    pub prompt: f64,
    /// Of the answer, reasoning included.
    pub completion: f64,
    /// Whether it is the built-in one, of [`PRICES_OF`], rather than the user's.
    pub built_in: bool,
}

impl FromStr for ChatPrice {
    type Err = String;

    /// Read `2.50,10`: what a million tokens of the question take, and of the answer.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let dollars = |text: &str| {
            text.trim().parse().ok().filter(|one: &f64| *one >= 0.0 && one.is_finite())
        };
        let both = text
            .split_once(',')
            .and_then(|(prompt, completion)| Some((dollars(prompt)?, dollars(completion)?)));
        let (prompt, completion) =
            both.ok_or("US dollars for a million tokens asked and answered, as 2.50,10")?;
        Ok(Self { prompt, completion, built_in: false })
    }
}

impl ChatPrice {
    /// The price of a model at an address: the built-in one, nothing on this machine, or unknown.
    pub fn of_model(model: &str, destination: Option<&str>) -> Option<Self> {
        let Some(destination) = destination.filter(|url| !is_this_machine(url)) else {
            return Some(Self { prompt: 0.0, completion: 0.0, built_in: true });
        };
        // Another service takes other prices for models of the same name.
        if destination != crate::embed::OPENAI_BASE_URL {
            return None;
        }
        let (_, prompt, completion) = KNOWN.into_iter().find(|(name, ..)| *name == model)?;
        Some(Self { prompt, completion, built_in: true })
    }

    /// What tokens cost, in US dollars.
    pub fn dollars(&self, usage: Usage) -> f64 {
        let Usage { prompt_tokens, completion_tokens } = usage;
        let (prompt, completion) = (prompt_tokens as f64, completion_tokens as f64);
        (prompt * self.prompt + completion * self.completion) / MILLION
    }
}

/// Estimate what a question will take: its text at 4 characters a token, its answer at the longest
/// (1,000 tokens where no length is stated).
pub fn estimate_usage(request: &ChatRequest) -> Usage {
    let texts = request.messages.iter().map(|message| &message.content);
    let schema = request.schema.as_ref().map(ToString::to_string);
    let tokens = estimate_tokens(texts.chain(&schema)) as u64;
    Usage {
        prompt_tokens: tokens + TOKENS_A_MESSAGE * request.messages.len() as u64,
        completion_tokens: request.max_tokens.map_or(ANSWER_TOKENS, u64::from),
    }
}

/// Tokens, and dollars where the price is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Tokens.
    pub usage: Usage,
    /// US dollars; `None` where a price is unknown.
    pub dollars: Option<f64>,
}

impl fmt::Display for Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { prompt_tokens, completion_tokens } = self.usage;
        write!(formatter, "{prompt_tokens} tokens asked, {completion_tokens} answered, ")?;
        match self.dollars {
            Some(dollars) => write!(formatter, "{dollars:.4} US dollars"),
            None => formatter.write_str("price unknown"),
        }
    }
}

/// Estimate what questions will cost at most, before the first is asked.
pub fn estimate<'a>(
    requests: impl IntoIterator<Item = &'a ChatRequest>,
    price: Option<ChatPrice>,
) -> Cost {
    let usage: Usage = requests.into_iter().map(estimate_usage).sum();
    Cost { usage, dollars: price.map(|price| price.dollars(usage)) }
}

/// The money of a run, shared by all its models.
#[derive(Debug, Default)]
pub struct Purse {
    most: Option<f64>,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    usage: Usage,
    dollars: f64,
    /// Dollars set aside for questions on their way.
    reserved: f64,
    unknown: bool,
}

impl Purse {
    /// Hold at most so many US dollars; `None` for no limit.
    pub fn new(most: Option<f64>) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// What was spent so far, by the providers' own counts.
    pub fn spent(&self) -> Cost {
        let state = *self.lock();
        Cost { usage: state.usage, dollars: (!state.unknown).then_some(state.dollars) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Set money aside, or refuse.
    fn reserve(&self, model: &str, price: Option<ChatPrice>, usage: Usage) -> Result<f64> {
        let mut state = self.lock();
        let Some(price) = price else {
            state.unknown = true;
            return match self.most {
                None => Ok(0.0),
                Some(_) => Err(Error::input(
                    "--max-cost",
                    "a model whose price is known",
                    format!("{model}, without one"),
                    "give its price with --price",
                )),
            };
        };
        let dollars = price.dollars(usage);
        if let Some(most) = self.most
            && state.dollars + state.reserved + dollars > most
        {
            return Err(Error::input(
                "--max-cost",
                format!("at most {most} US dollars"),
                format!(
                    "{:.4} spent or on their way and up to {dollars:.4} for the next question",
                    state.dollars + state.reserved
                ),
                "raise it; answers so far are kept where --record is given",
            ));
        }
        state.reserved += dollars;
        Ok(dollars)
    }

    fn settle(&self, reserved: f64, price: Option<ChatPrice>, usage: Usage) {
        let mut state = self.lock();
        state.reserved -= reserved;
        state.usage += usage;
        state.dollars += price.map_or(0.0, |price| price.dollars(usage));
    }
}

/// A model that is paid from a purse, and not asked when the purse could not pay the answer.
pub struct Paid<'a, M> {
    model: M,
    purse: &'a Purse,
    price: Option<ChatPrice>,
}

impl<'a, M: ChatModel> Paid<'a, M> {
    /// Pay `model` from `purse` at `price`, where it is known.
    pub fn new(model: M, purse: &'a Purse, price: Option<ChatPrice>) -> Self {
        Self { model, purse, price }
    }

    fn pay<T>(
        &self,
        request: &ChatRequest,
        extra_tokens: usize,
        ask: impl FnOnce() -> Result<T>,
        usage: impl FnOnce(&T) -> Usage,
    ) -> Result<T> {
        let mut expected = estimate_usage(request);
        expected.prompt_tokens += extra_tokens as u64;
        let reserved = self.purse.reserve(&request.model, self.price, expected)?;
        let answer = ask();
        // A failed question is taken to be free; what a time-out cost, the provider alone knows.
        let used = answer.as_ref().map_or(Usage::default(), usage);
        self.purse.settle(reserved, self.price, used);
        answer
    }
}

impl<M: ChatModel> ChatModel for Paid<'_, M> {
    fn destination(&self) -> Option<&str> {
        self.model.destination()
    }

    fn destinations(&self) -> Vec<String> {
        self.model.destinations()
    }

    fn identity(&self) -> String {
        self.model.identity()
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        self.pay(request, 0, || self.model.ask(request), |answer| answer.usage)
    }

    fn turn(
        &self,
        request: &ChatRequest,
        tools: &[Tool],
        rounds: &[ToolRound],
    ) -> Result<Option<Turn>> {
        let found = rounds.iter().flat_map(|round| round.results.iter().chain([&round.text]));
        let tools_text: Vec<_> = tools.iter().map(|tool| tool.as_function().to_string()).collect();
        let extra = estimate_tokens(found) + estimate_tokens(&tools_text);
        let turn = || self.model.turn(request, tools, rounds);
        let used = |turn: &Option<Turn>| turn.as_ref().map_or(Usage::default(), |t| t.answer.usage);
        self.pay(request, extra, turn, used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Message;

    fn request(characters: usize, max_tokens: Option<u32>) -> ChatRequest {
        ChatRequest {
            model: "gpt-4o".into(),
            messages: vec![Message::user("x".repeat(characters))],
            schema: None,
            temperature: 0.0,
            top_p: 1.0,
            seed: None,
            max_tokens,
            stop: Vec::new(),
            web: false,
        }
    }

    struct Fixed(Usage);

    impl ChatModel for Fixed {
        fn destination(&self) -> Option<&str> {
            Some(crate::embed::OPENAI_BASE_URL)
        }

        fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
            Ok(ChatAnswer {
                text: "T cells".into(),
                reasoning: None,
                model: request.model.clone(),
                usage: self.0,
                sources: Vec::new(),
                notes: Vec::new(),
            })
        }
    }

    #[test]
    fn prices_are_of_a_model_at_a_place() {
        let openai = Some(crate::embed::OPENAI_BASE_URL);
        let price = ChatPrice::of_model("gpt-4o", openai).unwrap();
        let usage = Usage { prompt_tokens: 1_000_000, completion_tokens: 100_000 };
        assert_eq!(price.dollars(usage), 3.5);
        assert_eq!(ChatPrice::of_model("gpt-4o", Some("https://other.example/v1")), None);
        assert_eq!(ChatPrice::of_model("nobody's", openai), None);
        let here = ChatPrice::of_model("llama3.2:1b", Some("http://localhost:11434")).unwrap();
        assert_eq!(here.dollars(usage), 0.0);
        assert_eq!(ChatPrice::of_model("any", None).unwrap().dollars(usage), 0.0);
    }

    #[test]
    fn an_estimate_counts_question_and_longest_answer() {
        let cost = estimate(&[request(400, Some(50)), request(40, None)], None);
        assert_eq!(cost.usage, Usage { prompt_tokens: 118, completion_tokens: 1050 });
        assert!(cost.to_string().ends_with("price unknown"));
    }

    #[test]
    fn the_purse_stops_before_the_question_that_would_pass_its_end() {
        let price = ChatPrice { prompt: 0.0, completion: 1000.0, built_in: false };
        let purse = Purse::new(Some(0.25));
        let used = Usage { prompt_tokens: 10, completion_tokens: 60 };
        let model = Paid::new(Fixed(used), &purse, Some(price));
        // Each may cost 0.1 and costs 0.06: the fourth could reach 0.28.
        for asked in 1..=3 {
            model.ask(&request(40, Some(100))).unwrap();
            let dollars = purse.spent().dollars.unwrap();
            assert!((dollars - 0.06 * f64::from(asked)).abs() < 1e-12, "{dollars}");
        }
        let error = model.ask(&request(40, Some(100))).unwrap_err();
        assert!(error.to_string().contains("--max-cost"), "{error}");
        assert_eq!(purse.spent().usage, Usage { prompt_tokens: 30, completion_tokens: 180 });
        // A shorter answer still fits.
        model.ask(&request(40, Some(60))).unwrap();
    }

    #[test]
    fn a_limit_needs_a_price() {
        let purse = Purse::new(Some(1.0));
        let model = Paid::new(Fixed(Usage::default()), &purse, None);
        assert!(model.ask(&request(4, None)).unwrap_err().to_string().contains("--price"));
        let purse = Purse::new(None);
        Paid::new(Fixed(Usage::default()), &purse, None).ask(&request(4, None)).unwrap();
        assert_eq!(purse.spent().dollars, None);
    }
}
