#!/usr/bin/env python3
"""Write the goldens of generated text and of chat prompts: what transformers makes of them.

    python3 scripts/reference/generate_goldens.py

Makes its own virtual environment in target/reference-generate on the first run. Written to
models/tests/goldens/generate/:

* `greedy.safetensors`: for tiny LLaMAs of scripts/reference/llama_goldens.py a prompt, the tokens that
  `generate` adds without sampling, and the logits that each was the largest of; the same for stories260K
  where SCREADER_SHARED is set, else what the file had of it is kept.
* `sampling.json`: what transformers' temperature, top-k and top-p leave of one distribution.
* `chat/`: a small tokenizer, trained here, with control tokens.
* `chat.json`: chat templates in the manner of published ones, conversations, and what
  `apply_chat_template` makes of them as text and tokens.
"""
import json
import os
import shutil
import sys
from pathlib import Path

from environment import ROOT, enter

enter("generate", {
    "torch": "2.15.0",
    "transformers": "5.23.0",
    "safetensors": "0.8.0",
    "numpy": "2.4.6",
    "jinja2": "3.1.6",
})

import numpy  # noqa: E402
import torch  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402
from transformers.generation.logits_process import (  # noqa: E402
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils import chat_template_utils  # noqa: E402

sys.path.insert(0, str(ROOT / "scripts" / "reference"))
from llama_goldens import llama2c_encode, stories260k_model  # noqa: E402

GOLDENS = ROOT / "models" / "tests" / "goldens"
OUT = GOLDENS / "generate"
KINDS = ["gqa_tied", "mha", "mqa", "biases", "head_dim", "rope_llama3", "rope_linear"]


def greedy(model, prompt, tokens):
    """Tokens and logits of `generate` without sampling and without an end."""
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    done = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=tokens,
        output_logits=True,
        return_dict_in_generate=True,
    )
    logits = torch.cat(done.logits).float().numpy()
    ids = done.sequences[0, len(prompt):].numpy().astype(numpy.int64)
    assert (logits.argmax(1) == ids).all()
    # A tie would make the comparison a matter of rounding.
    best = numpy.sort(logits, axis=1)[:, -2:]
    assert (best[:, 1] - best[:, 0]).min() > 1e-4, "choose another prompt"
    return {"prompt": numpy.array(prompt, numpy.int64), "ids": ids, "logits": logits}


def write_greedy():
    path = OUT / "greedy.safetensors"
    golden = {}
    for seed, kind in enumerate(KINDS):
        model = LlamaForCausalLM.from_pretrained(GOLDENS / kind, dtype=torch.float32).eval()
        random = numpy.random.default_rng(seed)
        prompt = random.integers(0, model.config.vocab_size, size=5 + 4 * seed).tolist()
        for name, value in greedy(model, prompt, 24).items():
            golden[f"{kind}.{name}"] = value
    shared = os.environ.get("SCREADER_SHARED")
    source = Path(shared or ".") / "data" / "common" / "llama_tiny"
    if shared and (source / "stories260K.bin").exists():
        model = stories260k_model((source / "stories260K.bin").read_bytes())
        tokenizer = (source / "tok512.bin").read_bytes()
        prompt = [1, *llama2c_encode(tokenizer, 512, "The cells are B cells. Lily said")]
        for name, value in greedy(model, prompt, 100).items():
            golden[f"stories260k.{name}"] = value[[0, 99]] if name == "logits" else value
    elif path.exists():
        print("stories260K kept as it was: SCREADER_SHARED is not set", file=sys.stderr)
        golden.update({k: v for k, v in load_file(path).items() if k.startswith("stories260k.")})
    save_file(golden, path)


def write_sampling():
    logits = torch.from_numpy(numpy.random.default_rng(9).normal(0, 2.5, 40).astype(numpy.float32))
    cases = []
    for temperature, top_k, top_p in [
        (1.0, None, 0.5), (1.0, None, 0.9), (0.7, None, 0.8), (1.6, 12, 1.0), (0.9, 6, 0.75),
        (2.0, 30, 0.95), (0.2, None, 0.99), (1.0, 1, 0.5),
    ]:
        scores = TemperatureLogitsWarper(temperature)(None, logits[None].clone())
        if top_k is not None:
            scores = TopKLogitsWarper(top_k)(None, scores)
        scores = TopPLogitsWarper(top_p)(None, scores)
        probabilities = scores.double().softmax(1)[0]
        kept = {str(i): float(p) for i, p in enumerate(probabilities) if p > 0}
        cases.append({"temperature": temperature, "top_k": top_k, "top_p": top_p, "kept": kept})
    write_json("sampling.json", {"logits": [float(x) for x in logits], "cases": cases})


TEXTS = [
    "CD3D, CD3E and IL7R mark T cells; MS4A1 and CD79A mark B cells.",
    "Which cell type has the markers LYZ, S100A8, S100A9? Answer with its name alone.",
    "You name cell types from their marker genes. Say unknown where the markers do not tell.",
    "Monocytes, natural killer cells, dendritic cells, platelets, erythrocytes, neurons.",
    '{"cell_type": "B cell", "confidence": 0.9, "evidence": "CD79A"}',
]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>"]


def make_tokenizer():
    """A byte-level tokenizer with control tokens, one of which is not called special, as it happens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=CONTROL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens(["<think>"])
    folder = OUT / "chat"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": {"content": "<|im_end|>", "special": True}}
    (folder / "tokenizer_config.json").write_text(json.dumps(named, indent=1) + "\n")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>")


# Ours, each with what templates of a family do: how they trim, what they call, what they refuse.
TEMPLATES = {
    "turns with tags": """{% for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\\nYou answer.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' -}}
{% endif %}
""",
    "alternating": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0].content %}
{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}
{% for turn in turns %}
    {% if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate') }}
    {% endif %}
    {% if loop.index0 == 0 and system %}{% set text = '[' ~ system ~ ']\\n\\n' + turn['content'] %}
    {% else %}{% set text = turn['content'] %}{% endif %}
    {% if turn.role == 'user' %}{{ '[INST] ' + text.strip() + ' [/INST]' }}
    {% elif turn.role == 'assistant' %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}
{% endfor %}""",
    "no system": """{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}
{{ raise_exception('no system role here') }}{% endif %}{{ message.role.upper() }}: {{ message.content }}</s>
{% endfor %}ASSISTANT:""",
    "dated": """{%- set date = strftime_now("%d %b %Y") if strftime_now is defined else "unknown" -%}
{%- set state = namespace(count=0) -%}
{{- bos_token + "Today is " + date + ".\\n" }}
{%- for message in messages if message.role in ['user', 'assistant', 'system'] %}
{%- set state.count = state.count + 1 %}
{%- if message.content is string and not (tools is not none) %}
{{- state.count }}. {{ message.role | capitalize }}: {{ message.content }}
{% endif %}
{%- endfor %}
{{- "Answer: " }}""",
    "python methods": """{%- for message in messages %}
{%- if message.role == 'assistant' %}
{%- set said = message.content.split('</think>')[-1].lstrip('\\n') %}
{%- generation %}{{ '<|im_start|>assistant\\n' + said + '<|im_end|>' }}{%- endgeneration %}
{%- elif message.content.startswith('{') or message.content.endswith('?') %}
{{- '<|im_start|>question\\n' + message | tojson + '<|im_end|>' }}
{%- else %}
{{- '<|im_start|>' ~ message.get('role', 'nobody') ~ '\\n' ~ message.content.replace('  ', ' ').rstrip() }}
{{- '<|im_end|>' }}
{%- if loop.index > 5 %}{% break %}{% endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}""",
}
CONVERSATIONS = [
    [("user", "Which cell type has the markers CD3D, CD3E?")],
    [("system", "You name cell types."), ("user", "  LYZ and S100A8 \n")],
    [
        ("system", "You name cell types."),
        ("user", "CD79A?"),
        ("assistant", "<b>hm</b>\nB cells"),
        ("user", "γδ T cells — naïve & \"quoted\"  twice?"),
    ],
    [("user", "one"), ("user", "two")],
]


def write_chat():
    import datetime

    tokenizer = make_tokenizer()
    day = datetime.datetime(2026, 3, 9, 14, 5)

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return day

    chat_template_utils.datetime = Clock
    cases = []
    for name, template in TEMPLATES.items():
        for turns in CONVERSATIONS:
            messages = [{"role": role, "content": content} for role, content in turns]
            case = {"template": name, "messages": messages}
            options = dict(chat_template=template, add_generation_prompt=True)
            try:
                case["text"] = tokenizer.apply_chat_template(messages, tokenize=False, **options)
                encoded = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)
                case["ids"] = encoded["input_ids"]
            except Exception as error:  # the template's own
                case["error"] = str(error)
            cases.append(case)
    write_json("chat.json", {"now": day.isoformat(), "templates": TEMPLATES, "cases": cases})


def write_json(name, value):
    (OUT / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write_greedy()
    write_sampling()
    write_chat()
