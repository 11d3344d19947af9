"""Writes parity cases of random tiny InternVLs in transformers' format, for `internvl parity FOLDER`.

    python test/parity/make_hf_cases.py OUT FIRST LAST
    for case in OUT/*; do internvl parity "$case"; done

Needs transformers 5.24 and torch 2.13 on a CPU. Each seed from FIRST to LAST - 1 draws a language model of one of five
classes, its sizes and rotary scaling, a tower, dtypes and shards. A case holds what transformers computes in f32: image
features, logits of a prompt with one to three tiles, and two greedy continuations. Not part of the tests: 40 cases are
27 MB.
"""

import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    GptOssConfig,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

NEW_TOKENS = 24


def rotary(draw, kind):
    theta = draw.choice([1e4, 5e5, 1e6])
    if kind == "gpt_oss":
        return {
            **{"rope_type": "yarn", "rope_theta": 150000.0, "beta_fast": 32.0, "beta_slow": 1.0},
            **{"factor": draw.choice([8.0, 32.0]), "truncate": draw.random() < 0.5},
            "original_max_position_embeddings": draw.choice([256, 4096]),
        }
    if kind == "llama" and draw.random() < 0.4:
        return {
            **{"rope_type": "llama3", "rope_theta": theta, "factor": 8.0},
            **{"low_freq_factor": 1.0, "high_freq_factor": 4.0},
            "original_max_position_embeddings": 64,
        }
    name = draw.choice(["default", "default", "linear", "dynamic", "yarn"])
    scaling = {"rope_type": name, "rope_theta": theta}
    if name != "default":
        scaling["factor"] = draw.choice([2.0, 4.0])
    if name == "yarn":
        scaling["original_max_position_embeddings"] = 64
    return scaling


def language(draw, kind):
    groups, width = draw.choice([1, 2, 3]), draw.choice([8, 16, 24, 32])
    heads = groups * draw.choice([1, 2, 3])
    hidden = {"qwen2": heads * width, "llama": heads * 16}.get(kind, draw.choice([48, 64, 80, 96]))
    layers = draw.choice([1, 2, 3, 4])
    fields = {
        "vocab_size": draw.choice([120, 160, 257, 300]),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "intermediate_size": draw.choice([64, 112, 128]),
        "max_position_embeddings": draw.choice([64, 256, 1024]),
        "rms_norm_eps": draw.choice([1e-6, 1e-5]),
        "tie_word_embeddings": kind != "gpt_oss" and draw.random() < 0.35,
        "rope_parameters": rotary(draw, kind),
        **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.08},
    }
    biased = draw.random() < 0.3
    if kind == "qwen2":
        return Qwen2Config(**fields)
    if kind == "qwen3":
        return Qwen3Config(**fields, head_dim=width, attention_bias=biased)
    if kind == "llama":
        return LlamaConfig(**fields, head_dim=width, attention_bias=biased, mlp_bias=draw.random() < 0.3)
    chosen = {"head_dim": width, "num_experts_per_tok": draw.choice([1, 2])}
    if kind == "gpt_oss":
        experts = draw.choice([2, 4, 6])
        return GptOssConfig(**fields, **chosen, num_local_experts=experts, sliding_window=draw.choice([4, 8, 16]))
    return Qwen3MoeConfig(
        **fields,
        **chosen,
        moe_intermediate_size=draw.choice([24, 40]),
        num_experts=draw.choice([2, 5, 8]),
        norm_topk_prob=draw.random() < 0.7,
        mlp_only_layers=[i for i in range(layers) if draw.random() < 0.2],
        decoder_sparse_step=draw.choice([1, 1, 2]),
    )


def tower(draw):
    heads, patch, side = draw.choice([2, 3, 4]), draw.choice([8, 14, 16]), 2 * draw.choice([1, 2, 3])
    return InternVLVisionConfig(
        hidden_size=heads * draw.choice([8, 16]),
        num_attention_heads=heads,
        num_hidden_layers=draw.choice([1, 2, 3]),
        intermediate_size=draw.choice([64, 96]),
        image_size=[side * patch, side * patch],
        patch_size=[patch, patch],
        norm_type=draw.choice(["layer_norm", "rms_norm"]),
        use_qk_norm=draw.random() < 0.3,
        attention_bias=draw.random() < 0.7,
        layer_scale_init_value=draw.choice([0.1, 1.0]),
        initializer_range=0.08,
    )


def write(out, seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    kind = draw.choice(["qwen2", "qwen3", "llama", "qwen3_moe", "gpt_oss"])
    text, vision = language(draw, kind), tower(draw)
    per_tile = (vision.image_size[0] // vision.patch_size[0]) ** 2 // 4
    config = InternVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=text.vocab_size - 1,
        image_seq_length=per_tile,
        vision_feature_layer=-2 if vision.num_hidden_layers > 1 and draw.random() < 0.25 else -1,
        tie_word_embeddings=text.tie_word_embeddings,
    )
    model = InternVLForConditionalGeneration(config)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += torch.randn_like(parameter) * 0.1
    folder = out / f"{seed:03d}-{kind}"
    shards = draw.choice(["60KB", "5GB", "5GB"])
    dtype = draw.choice([torch.float32, torch.float32, torch.bfloat16, torch.float16])
    model.to(dtype).save_pretrained(folder, max_shard_size=shards)
    model = InternVLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()

    tiles = draw.choice([1, 2, 3])
    words = lambda count: [draw.randrange(3, text.vocab_size - 1) for _ in range(count)]
    places = [config.image_token_id] * (tiles * per_tile)
    ids = torch.tensor([[1, *words(draw.choice([2, 6, 20])), *places, *words(draw.choice([3, 8, 30]))]])
    pixels = torch.randn(tiles, 3, *vision.image_size)
    inputs = {"input_ids": ids, "pixel_values": pixels, "attention_mask": torch.ones_like(ids)}
    greedy = {**inputs, "max_new_tokens": NEW_TOKENS, "do_sample": False}
    with torch.no_grad():
        features = model.model.get_image_features(pixels).pooler_output
        case = {
            "pixel_values": pixels,
            "input_ids": ids,
            "logits": model(**inputs).logits,
            "image_features": features if torch.is_tensor(features) else torch.cat(list(features)),
            "greedy": model.generate(**greedy)[:, ids.shape[1] :],
            "greedy_repetition_penalty_1.5": model.generate(**greedy, repetition_penalty=1.5)[:, ids.shape[1] :],
        }
    save_file({name: value.contiguous().clone() for name, value in case.items()}, folder / "case.safetensors")


out = Path(sys.argv[1])
torch.set_num_threads(1)
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    write(out, seed)
