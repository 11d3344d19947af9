"""
Writes chat/<name>.json: names and shapes of every InternVL-Chat of src/models/configs/internvl-chat.json.

    pip install torch==2.13.0 transformers==5.23.0
    python test/keys/make_chat_keys.py

The language models and the transformers format are built from transformers' own classes on the meta device, and named
as `save_pretrained` names them. InternViT, mlp1 and InternLM2, which transformers has not, are listed here after
OpenGVLab/InternVL (internvl_chat/internvl/model). Nothing here looks at the TypeScript modules that the lists test.
"""

import json
import re
from collections import defaultdict
from math import prod
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, InternVLConfig, InternVLForConditionalGeneration
from transformers.core_model_loading import revert_weight_conversion

assert transformers.__version__ == "5.23.0", transformers.__version__
HERE = Path(__file__).parent
PUBLISHED = json.loads((HERE / "../../src/models/configs/internvl-chat.json").read_text())


def config_of(name):
    """The configuration as the checkpoint's config.json has it."""
    model = PUBLISHED["models"][name]
    llm = PUBLISHED["llm"][model["llm"]]
    llm = {**PUBLISHED["classes"][llm["architectures"][0]], **llm, **model.get("llm_config", {})}
    vision = {**PUBLISHED["vision"][model["vision"]], **model.get("vision_config", {})}
    config = {**PUBLISHED["formats"][model["format"]], **model["config"]}
    return {**config, "vision_config": vision, "llm_config" if model["format"] == "github" else "text_config": llm}


def without_rope(llm):
    """What position embeddings are computed from names no tensor, and old files spell it in ways long gone."""
    return {k: v for k, v in llm.items() if k not in ("rope_scaling", "rope_theta", "layer_types")}


def saved(model):
    """Names and shapes as `save_pretrained` writes them."""
    return {k: tuple(v.shape) for k, v in revert_weight_conversion(model, model.state_dict()).items()}


def intern_vit(c):
    """InternVisionModel (internvl_chat/modeling_intern_vit.py)."""
    d, inner, p = c["hidden_size"], c["intermediate_size"], c["patch_size"]
    yield "embeddings.class_embedding", (1, 1, d)
    yield "embeddings.patch_embedding.weight", (d, c["num_channels"], p, p)
    yield "embeddings.patch_embedding.bias", (d,)
    yield "embeddings.position_embedding", (1, (c["image_size"] // p) ** 2 + 1, d)
    for i in range(c["num_hidden_layers"]):
        layer = f"encoder.layers.{i}."
        yield layer + "ls1", (d,)
        yield layer + "ls2", (d,)
        yield layer + "attn.qkv.weight", (3 * d, d)
        if c["qkv_bias"]:
            yield layer + "attn.qkv.bias", (3 * d,)
        if c["qk_normalization"]:
            yield layer + "attn.q_norm.weight", (d,)
            yield layer + "attn.k_norm.weight", (d,)
        for name, rows, columns in (("attn.proj", d, d), ("mlp.fc1", inner, d), ("mlp.fc2", d, inner)):
            yield layer + name + ".weight", (rows, columns)
            yield layer + name + ".bias", (rows,)
        for norm in ("norm1", "norm2"):
            yield layer + norm + ".weight", (d,)
            if c["norm_type"] == "layer_norm":
                yield layer + norm + ".bias", (d,)


def mlp1(config):
    """The projector: LayerNorm, Linear, GELU, Linear (internvl_chat/modeling_internvl_chat.py)."""
    wide = config["vision_config"]["hidden_size"] * int(1 / config["downsample_ratio"]) ** 2
    d = config["llm_config"]["hidden_size"]
    yield "0.weight", (wide,)
    yield "0.bias", (wide,)
    yield "1.weight", (d, wide)
    yield "1.bias", (d,)
    yield "3.weight", (d, d)
    yield "3.bias", (d,)


def internlm2(c):
    """InternLM2ForCausalLM (internlm2/modeling_internlm2.py)."""
    assert not c["bias"]
    d, inner, heads, kv = (
        c[k] for k in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    )
    yield "model.tok_embeddings.weight", (c["vocab_size"], d)
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        yield layer + "attention.wqkv.weight", ((heads + 2 * kv) * (d // heads), d)
        yield layer + "attention.wo.weight", (d, d)
        yield layer + "feed_forward.w1.weight", (inner, d)
        yield layer + "feed_forward.w3.weight", (inner, d)
        yield layer + "feed_forward.w2.weight", (d, inner)
        yield layer + "attention_norm.weight", (d,)
        yield layer + "ffn_norm.weight", (d,)
    yield "model.norm.weight", (d,)
    yield "output.weight", (c["vocab_size"], d)


def causal_lm(c):
    if c["architectures"][0] == "InternLM2ForCausalLM":
        return dict(internlm2(c))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**without_rope(c)))
    assert type(model).__name__ == c["architectures"][0]
    return saved(model)


def github_keys(config):
    parts = {
        "vision_model": dict(intern_vit(config["vision_config"])),
        "language_model": causal_lm(config["llm_config"]),
        "mlp1": dict(mlp1(config)),
    }
    return {f"{part}.{k}": shape for part, keys in parts.items() for k, shape in keys.items()}


def hf_keys(config):
    config = {**config, "text_config": without_rope(config["text_config"])}
    with torch.device("meta"):
        model = InternVLForConditionalGeneration(InternVLConfig(**config))
    keys = saved(model)
    # The names in memory are the other form that files come in; experts are fused there.
    held = {with_model_prefix(k) for k in keys if ".mlp.experts." not in k}
    assert held == {k for k in model.state_dict() if ".mlp.experts." not in k}
    return keys


def with_model_prefix(key):
    if key.startswith("language_model.lm_head."):
        return key.removeprefix("language_model.")
    return "model." + key.replace("language_model.model.", "language_model.", 1)


def brace(values):
    """{0..47}, {1..3..2} or {0,1,3}; a number alone as it is."""
    steps = {b - a for a, b in zip(values, values[1:])}
    if len(values) == 1:
        return str(values[0])
    if len(steps) == 1 and len(values) > 2:
        (step,) = steps
        return f"{{{values[0]}..{values[-1]}{'' if step == 1 else f'..{step}'}}}"
    return "{" + ",".join(map(str, values)) + "}"


def patterns(keys):
    """Rows of a pattern and a shape: names that differ in numbers only, and have one shape, are one row."""
    groups = defaultdict(list)
    for key, shape in keys.items():
        numbers = re.findall(r"(?<=\.)\d+(?=\.)", key)
        groups[re.sub(r"(?<=\.)\d+(?=\.)", "#", key), shape].append(tuple(map(int, numbers)))
    rows = []
    for (template, shape), numbers in groups.items():
        axes = [sorted(set(axis)) for axis in zip(*numbers)]
        assert prod(map(len, axes)) == len(numbers), template
        for axis in axes:
            template = template.replace("#", brace(axis), 1)
        rows.append([template, list(shape)])
    return rows


def write(name):
    layout = PUBLISHED["models"][name]["format"]
    keys = (github_keys if layout == "github" else hf_keys)(config_of(name))
    head = {
        "name": name,
        "layout": "chat" if layout == "github" else "hf",
        "tensors": len(keys),
        "parameters": sum(map(prod, keys.values())),
    }
    rows = ",\n".join("  " + json.dumps(row) for row in patterns(keys))
    fields = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in head.items())
    (HERE / "chat" / f"{name}.json").write_text(f'{{\n{fields} "keys": [\n{rows}\n ]\n}}\n')
    print(f"{name}: {head['tensors']} tensors, {head['parameters'] / 1e9:.3f}B")


if __name__ == "__main__":
    (HERE / "chat").mkdir(exist_ok=True)
    for name in PUBLISHED["models"]:
        write(name)
