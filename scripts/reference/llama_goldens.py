#!/usr/bin/env python3
"""Write the goldens of models/tests: tiny random LLaMAs with what transformers and PyTorch compute on them.

    python3 scripts/reference/llama_goldens.py

Makes its own virtual environment in target/reference/llama on the first run. Each folder under
models/tests/goldens/ is a Hugging Face checkpoint plus `golden.safetensors`: the inputs `x0`
[cells, tokens, hidden], `lengths`, transformers' hidden states, and the gradient that PyTorch gives for
sum(h_cls * r) with respect to `x0`. With SCREADER_SHARED set, `stories260k.json` is written as well.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ["torch==2.15.0", "transformers==5.23.0", "safetensors==0.8.0", "numpy==2.4.6"]


def in_own_environment():
    """Run again inside a virtual environment with the pinned versions, unless told to use this one."""
    if os.environ.get("SCREADER_REFERENCE_PYTHON") == "here":
        return
    home = ROOT / "target" / "reference" / "llama"
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(home)])
        subprocess.check_call([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS])
    environment = dict(os.environ, SCREADER_REFERENCE_PYTHON="here")
    sys.exit(subprocess.call([str(python), __file__, *sys.argv[1:]], env=environment))


SMALL = dict(
    vocab_size=48,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
)
LLAMA3 = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
    rope_theta=10000.0,
)
# name: (changes to the configuration, storage type, shard size)
KINDS = {
    "mha": ({}, "float32", None),
    "gqa_tied": (dict(num_key_value_heads=2, tie_word_embeddings=True), "float32", None),
    "mqa": (dict(num_key_value_heads=1, num_hidden_layers=3), "float32", None),
    "biases": (dict(attention_bias=True, mlp_bias=True, num_key_value_heads=2), "float32", None),
    "head_dim": (dict(head_dim=12, num_key_value_heads=2), "float32", None),
    "rope_llama3": (dict(rope_parameters=LLAMA3, num_key_value_heads=2), "float32", None),
    "rope_linear": (
        dict(rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=500.0)),
        "float32",
        None,
    ),
    "bfloat16": (dict(num_key_value_heads=2), "bfloat16", None),
    "float16": (dict(num_key_value_heads=2), "float16", None),
    "sharded": (dict(num_key_value_heads=2), "float32", "30KB"),
}
LENGTHS = [9, 5, 1]


def randomise(model, generator):
    """Give every parameter a spread at which each part of the network matters."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise * 1.5 / parameter.shape[1] ** 0.5)


def old_spelling(folder):
    """Rewrite config.json as transformers 4 spelled the rotary settings."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_golden(name, changes, storage, shard_size, seed):
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = ROOT / "models" / "tests" / "goldens" / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    generator = torch.Generator().manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**SMALL, **changes}))
    randomise(model, generator)
    model = model.to(getattr(torch, storage))
    options = {} if shard_size is None else dict(max_shard_size=shard_size)
    model.save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name in ("rope_linear", "mha"):
        old_spelling(folder)

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    cells, tokens, hidden = len(LENGTHS), max(LENGTHS), SMALL["hidden_size"]
    mask = torch.tensor([[int(t < n) for t in range(tokens)] for n in LENGTHS])
    x0 = torch.randn(cells, tokens, hidden, generator=generator)
    x0 = (x0 * mask[:, :, None]).requires_grad_()
    r = torch.randn(cells, hidden, generator=generator)
    states = model.model(
        inputs_embeds=x0, attention_mask=mask, output_hidden_states=True, use_cache=False
    ).hidden_states
    h_cls = torch.stack([states[-1][c, n - 1] for c, n in enumerate(LENGTHS)])
    (h_cls * r).sum().backward()
    golden = {f"hidden_states.{i}": s.detach().contiguous() for i, s in enumerate(states)}
    golden.update(x0=x0.detach(), r=r, h_cls=h_cls.detach(), g_x0=x0.grad)
    golden["lengths"] = torch.tensor(LENGTHS, dtype=torch.int64)
    save_file({k: v.clone().contiguous() for k, v in golden.items()}, folder / "golden.safetensors")


def interleaved_to_halves(weight, heads):
    """Reorder the rows of a llama2.c query or key matrix to the rotate-half layout."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).transpose(0, 2, 1, 3).reshape(rows, columns)


def stories260k_model(raw):
    """Make the bytes of stories260K.bin a model of transformers, independently of the Rust converter."""
    import struct

    import numpy as np
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    dim, ffn, layers, heads, kv_heads, vocab, _ = struct.unpack("<7i", raw[:28])
    numbers = np.frombuffer(raw[28:], dtype="<f4")
    width = dim // heads
    at = 0

    def take(*shape):
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return numbers[at - size : at].reshape(shape)

    embed = take(abs(vocab), dim)
    attention_norm = take(layers, dim)
    wq, wk = take(layers, dim, dim), take(layers, kv_heads * width, dim)
    wv, wo = take(layers, kv_heads * width, dim), take(layers, dim, dim)
    mlp_norm = take(layers, dim)
    w1, w2, w3 = take(layers, ffn, dim), take(layers, dim, ffn), take(layers, ffn, dim)
    state = {"model.embed_tokens.weight": embed, "lm_head.weight": embed, "model.norm.weight": take(dim)}
    for i in range(layers):
        state.update(
            {
                f"model.layers.{i}.input_layernorm.weight": attention_norm[i],
                f"model.layers.{i}.post_attention_layernorm.weight": mlp_norm[i],
                f"model.layers.{i}.self_attn.q_proj.weight": interleaved_to_halves(wq[i], heads),
                f"model.layers.{i}.self_attn.k_proj.weight": interleaved_to_halves(wk[i], kv_heads),
                f"model.layers.{i}.self_attn.v_proj.weight": wv[i],
                f"model.layers.{i}.self_attn.o_proj.weight": wo[i],
                f"model.layers.{i}.mlp.gate_proj.weight": w1[i],
                f"model.layers.{i}.mlp.down_proj.weight": w2[i],
                f"model.layers.{i}.mlp.up_proj.weight": w3[i],
            }
        )
    config = LlamaConfig(
        vocab_size=abs(vocab),
        hidden_size=dim,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict({k: torch.tensor(np.ascontiguousarray(v)) for k, v in state.items()})
    return model


def stories260k(shared):
    """Write what transformers makes of stories260K, converted here independently of the Rust converter."""
    import hashlib
    import struct

    import torch

    path = shared / "data" / "common" / "llama_tiny" / "stories260K.bin"
    if not path.exists():
        print(f"skipped stories260k.json: no {path}", file=sys.stderr)
        return
    raw = path.read_bytes()
    vocab = abs(struct.unpack("<7i", raw[:28])[5])
    model = stories260k_model(raw)
    ids = [1]
    with torch.no_grad():
        for _ in range(48):
            logits = model(torch.tensor([ids])).logits[0, -1]
            ids.append(int(logits.argmax()))
    tokenizer = (path.parent / "tok512.bin").read_bytes()
    texts = [
        "What is the cell type of this given embedding?",
        "Once upon a time, there was a little girl named Lily.",
        "The cells are B cells, T cells and macrophages.",
        "  two  spaces and a tab\tend\n",
        "naïve CD8+ αβ T cells — 10 µm",
        "a",
        "",
    ]
    golden = {
        "weights_sha256": hashlib.sha256(raw).hexdigest(),
        "greedy_ids": ids,
        "encodings": [{"text": text, "ids": llama2c_encode(tokenizer, vocab, text)} for text in texts],
    }
    out = ROOT / "models" / "tests" / "goldens" / "stories260k.json"
    out.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def llama2c_encode(raw, vocab_size, text):
    """Encode as run.c of llama2.c does: a dummy space, characters or bytes, then greedy best-score merges."""
    import struct

    at = 4
    pieces, scores = [], []
    for _ in range(vocab_size):
        score, length = struct.unpack("<fi", raw[at : at + 8])
        pieces.append(raw[at + 8 : at + 8 + length])
        scores.append(score)
        at += 8 + length
    index = {}
    for i, piece in enumerate(pieces):
        index.setdefault(piece, i)
    ids = []
    if text:
        ids.append(index[b" "])
    for character in text:
        piece = character.encode()
        ids.extend([index[piece]] if piece in index else [byte + 3 for byte in piece])
    while True:
        best = None
        for i in range(len(ids) - 1):
            merged = index.get(pieces[ids[i]] + pieces[ids[i + 1]])
            if merged is not None and (best is None or scores[merged] > best[0]):
                best = (scores[merged], i, merged)
        if best is None:
            return ids
        ids[best[1] : best[1] + 2] = [best[2]]


def main():
    in_own_environment()
    for seed, (name, (changes, storage, shard_size)) in enumerate(KINDS.items()):
        write_golden(name, changes, storage, shard_size, seed)
    shared = os.environ.get("SCREADER_SHARED")
    if shared:
        stories260k(Path(shared))


if __name__ == "__main__":
    main()
