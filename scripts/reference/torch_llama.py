"""The peer of the GPU suite: a frozen LLaMA in PyTorch and transformers on the same card.

    python3 scripts/reference/torch_llama.py --model 13b --tokens 2064 --cells 1,2,3 [--checkpointing]
                                             [--compile] [--device cuda] [--steps 5]

Random bf16 weights; inputs_embeds that need a gradient, the last token's state, its gradient back to the
inputs: what `decoder step` does. Writes a line of JSON a measurement. Needs torch and transformers, nothing else.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import transformers

SIZES = {
    "7b": dict(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32),
    "13b": dict(hidden_size=5120, intermediate_size=13824, num_hidden_layers=40, num_attention_heads=40),
    "small": dict(hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=SIZES, default="13b")
    parser.add_argument("--tokens", default="2064")
    parser.add_argument("--cells", default="1,2,3")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()

    device = torch.device(arguments.device)
    cuda = device.type == "cuda"
    dtype = torch.bfloat16 if cuda else torch.float32
    config = transformers.LlamaConfig(vocab_size=512, max_position_embeddings=4096, **SIZES[arguments.model])
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(dtype)
    with device:
        model = transformers.LlamaModel(config)
    model.requires_grad_(False)
    if arguments.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
    else:
        model.eval()
    if arguments.compile:
        for layer in model.layers:
            layer.compile()

    def wait():
        if cuda:
            torch.cuda.synchronize()

    def median(act):
        for _ in range(3 if arguments.compile else 2):
            act()
        times = []
        for _ in range(arguments.steps):
            wait()
            start = time.perf_counter()
            act()
            wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    for tokens in map(int, arguments.tokens.split(",")):
        for cells in map(int, arguments.cells.split(",")):
            try:
                if cuda:
                    torch.cuda.reset_peak_memory_stats()
                x0 = torch.randn(cells, tokens, config.hidden_size, device=device)
                g = torch.randn(cells, config.hidden_size, device=device)

                def forward():
                    with torch.no_grad():
                        model(inputs_embeds=x0, use_cache=False).last_hidden_state[:, -1].float().sum().item()

                def step():
                    x = x0.detach().requires_grad_()
                    state = model(inputs_embeds=x, use_cache=False).last_hidden_state[:, -1]
                    (state * g).sum().backward()
                    x.grad.float().sum().item()

                seconds, forward_seconds = median(step), median(forward)
            except torch.OutOfMemoryError:
                print(f"{arguments.model}, {tokens} tokens, {cells} cells: out of memory", file=sys.stderr)
                torch.cuda.empty_cache()
                break
            memory = torch.cuda.max_memory_reserved() // 2**20 if cuda else None
            result = dict(
                what="step", by="pytorch", device=device.type, model=arguments.model, tokens=tokens, cells=cells,
                checkpointing=arguments.checkpointing, compile=arguments.compile,
                forward_cells_per_s=cells / forward_seconds, step_cells_per_s=cells / seconds,
                memory_mib=memory, torch=torch.__version__, transformers=transformers.__version__,
            )
            print(json.dumps(result), flush=True)
            print(f"{arguments.model}, {tokens} tokens, {cells} cells: step {cells / seconds:.2f} cells/s, "
                  f"forward {cells / forward_seconds:.2f}, {memory} MiB", file=sys.stderr)


main()
