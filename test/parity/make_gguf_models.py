"""Writes tiny GGUF models as llama.cpp's converter would, and the published tensors that they were made from.

    python test/parity/make_gguf_models.py src/weights/fixtures/gguf

Needs gguf 0.19.0, safetensors 0.8.0 and numpy. Names come from gguf's own table (TensorNameMap), so the key maps are
tested against it; the order of rows follows from how ggml rotates: neighbours (2j, 2j+1) where the published models
rotate (j, j + D/2). For each model there are <name>.gguf and <name>.safetensors with what must be read.
"""

import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, GGMLQuantizationType as T, MODEL_ARCH, get_tensor_name_map
from gguf.constants import MODEL_ARCH_NAMES
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

D = 4  # width of a head
LAYERS = 2


class Case:
    def __init__(self, folder, name, arch, layers=LAYERS):
        self.folder, self.name = folder, name
        self.rng = np.random.default_rng(sum(name.encode()))
        self.names = get_tensor_name_map(arch, max(layers, 4))  # the projector counts to 3
        self.writer = GGUFWriter(folder / f"{name}.gguf", MODEL_ARCH_NAMES[arch])
        self.published = {}

    def random(self, *shape):
        return self.rng.uniform(-1, 1, shape).astype(np.float32)

    def add(self, published, value, stored=None, kind=None, raw=None, keep=True):
        """Publishes `value`; stores it (or `stored`) under llama.cpp's name for `raw` (or for the published name)."""
        name = self.names.get_name(raw or published, try_suffixes=(".weight", ".bias"))
        assert name is not None, raw or published
        stored = value if stored is None else stored
        if kind is None:
            self.writer.add_tensor(name, stored)
        elif kind == T.F16:
            self.writer.add_tensor(name, stored.astype(np.float16))
            value = value.astype(np.float16)
        else:
            data = quantize(stored, kind)
            self.writer.add_tensor(name, data, raw_dtype=kind)
        if keep:
            self.published[published] = np.ascontiguousarray(value)

    def save(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()
        save_file(self.published, self.folder / f"{self.name}.safetensors")


def neighbours(rows, heads):
    """Rows of heads whose halves are rotated together -> the same with neighbours."""
    width = rows.shape[0] // heads
    order = [h * width + t * (width // 2) + j for h in range(heads) for j in range(width // 2) for t in range(2)]
    return rows[order]


def sizes(writer, hidden, heads, kv, inter, layers=LAYERS, eps=1e-6, theta=10000.0):
    writer.add_context_length(512)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inter)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_layer_norm_rms_eps(eps)
    writer.add_rope_freq_base(theta)


def ends(case, hidden, vocab, head=True, embed="model.embed_tokens", output="lm_head"):
    case.add(f"{embed}.weight", case.random(vocab, hidden), kind=T.F16)
    case.add("model.norm.weight", case.random(hidden))
    if head:
        case.add(f"{output}.weight", case.random(vocab, hidden))


def attention(case, i, hidden, heads, kv, width, bias=False, out_bias=False, permute=False, kind=None):
    at = f"model.layers.{i}.self_attn"
    for part, count in (("q", heads), ("k", kv), ("v", kv)):
        reorder = (lambda x: neighbours(x, count)) if permute and part != "v" else (lambda x: x)
        w = case.random(count * width, hidden)
        if kind is not None:  # a quantised matrix is read as what it was rounded to
            w = dequantize(quantize(w, kind), kind)
        case.add(f"{at}.{part}_proj.weight", w, reorder(w), kind)
        if bias:
            b = case.random(count * width)
            case.add(f"{at}.{part}_proj.bias", b, reorder(b))
    case.add(f"{at}.o_proj.weight", case.random(hidden, heads * width))
    if out_bias:
        case.add(f"{at}.o_proj.bias", case.random(hidden))


def norms(case, i, hidden):
    for name in ("input_layernorm", "post_attention_layernorm"):
        case.add(f"model.layers.{i}.{name}.weight", case.random(hidden))


def mlp(case, i, hidden, inter):
    at = f"model.layers.{i}.mlp"
    case.add(f"{at}.gate_proj.weight", case.random(inter, hidden))
    case.add(f"{at}.up_proj.weight", case.random(inter, hidden))
    case.add(f"{at}.down_proj.weight", case.random(hidden, inter))


def llama(folder):
    """q and k in neighbours' order, with biases; tied; Llama 3.1's rotary factors."""
    case = Case(folder, "llama", MODEL_ARCH.LLAMA)
    hidden, width, theta = 16, 8, 500000.0
    sizes(case.writer, hidden, 2, 1, 12, eps=1e-5, theta=theta)
    case.writer.add_rope_dimension_count(width)
    case.writer.add_vocab_size(5)
    ends(case, hidden, 5, head=False)
    for i in range(LAYERS):
        norms(case, i, hidden)
        attention(case, i, hidden, 2, 1, width, bias=True, permute=True)
        mlp(case, i, hidden, 12)
    # Wavelengths of 6, 167, 4443 and 118142 positions: two below 8192 / 4, one above 8192, one between.
    smooth = (8192 / (2 * np.pi * np.sqrt(theta)) - 1) / 3
    case.writer.add_tensor("rope_freqs.weight", np.array([1, 1, 1 / ((1 - smooth) / 8 + smooth), 8], np.float32))
    case.save()


def quantized(folder):
    """A layer of Q8_0 with heads of 16: rows of blocks move as they are."""
    case = Case(folder, "llama-q8", MODEL_ARCH.LLAMA, 1)
    sizes(case.writer, 32, 2, 1, 4, layers=1, eps=1e-5)
    ends(case, 32, 3, head=False)
    norms(case, 0, 32)
    attention(case, 0, 32, 2, 1, 16, permute=True, kind=T.Q8_0)
    mlp(case, 0, 32, 4)
    case.save()


def qwen2(folder):
    case = Case(folder, "qwen2", MODEL_ARCH.QWEN2)
    sizes(case.writer, 8, 2, 1, 12, theta=1000000.0)
    ends(case, 8, 5)
    for i in range(LAYERS):
        norms(case, i, 8)
        attention(case, i, 8, 2, 1, D, bias=True)
        mlp(case, i, 8, 12)
    case.save()


def head_norms(case, i, width):
    for part in "qk":
        case.add(f"model.layers.{i}.self_attn.{part}_norm.weight", case.random(width))


def qwen3(folder):
    """Heads wider than the model: 2 · 6 of 8."""
    case = Case(folder, "qwen3", MODEL_ARCH.QWEN3)
    sizes(case.writer, 8, 2, 1, 12, theta=1000000.0)
    case.writer.add_key_length(6)
    case.writer.add_value_length(6)
    ends(case, 8, 5)
    for i in range(LAYERS):
        norms(case, i, 8)
        attention(case, i, 8, 2, 1, 6)
        head_norms(case, i, 6)
        mlp(case, i, 8, 12)
    case.save()


def qwen3moe(folder):
    case = Case(folder, "qwen3moe", MODEL_ARCH.QWEN3MOE)
    sizes(case.writer, 8, 2, 1, 12, theta=1000000.0)
    case.writer.add_key_length(D)
    case.writer.add_expert_count(3)
    case.writer.add_expert_used_count(2)
    case.writer.add_expert_feed_forward_length(4)
    ends(case, 8, 5)
    for i in range(LAYERS):
        norms(case, i, 8)
        attention(case, i, 8, 2, 1, D)
        head_norms(case, i, D)
        case.add(f"model.layers.{i}.mlp.gate.weight", case.random(3, 8))
        for part, shape in (("gate", (3, 4, 8)), ("up", (3, 4, 8)), ("down", (3, 8, 4))):
            stack = case.random(*shape)
            at = f"model.layers.{i}.mlp.experts"
            case.add(f"{at}.{part}_proj.weight", stack, keep=False)
            for e in range(3):
                case.published[f"{at}.{e}.{part}_proj.weight"] = np.ascontiguousarray(stack[e])
    case.save()


def internlm2(folder):
    """wqkv is two groups of two queries, a key and a value; v is of another type than q and k."""
    case = Case(folder, "internlm2", MODEL_ARCH.INTERNLM2)
    heads, kv, hidden = 4, 2, 16
    sizes(case.writer, hidden, heads, kv, 12, eps=1e-5, theta=1000000.0)
    ends(case, hidden, 5, embed="model.tok_embeddings", output="output")
    for i in range(LAYERS):
        at = f"model.layers.{i}"
        for name in ("attention_norm", "ffn_norm"):
            case.add(f"{at}.{name}.weight", case.random(hidden))
        wqkv = case.random(kv, heads // kv + 2, D, hidden)
        wqkv[:, -1] = wqkv[:, -1].astype(np.float16)
        q = wqkv[:, :-2].reshape(heads * D, hidden)
        k = wqkv[:, -2].reshape(kv * D, hidden)
        v = wqkv[:, -1].reshape(kv * D, hidden)
        case.add("", q, neighbours(q, heads), raw=f"{at}.attention.wq.weight", keep=False)
        case.add("", k, neighbours(k, kv), raw=f"{at}.attention.wk.weight", keep=False)
        case.add("", v, kind=T.F16, raw=f"{at}.attention.wv.weight", keep=False)
        case.published[f"{at}.attention.wqkv.weight"] = wqkv.reshape(-1, hidden)
        case.add(f"{at}.attention.wo.weight", case.random(hidden, hidden))
        for part, shape in (("w1", (12, hidden)), ("w2", (hidden, 12)), ("w3", (12, hidden))):
            case.add(f"{at}.feed_forward.{part}.weight", case.random(*shape))
    case.save()


def phi3(folder):
    case = Case(folder, "phi3", MODEL_ARCH.PHI3)
    sizes(case.writer, 8, 2, 2, 12, eps=1e-5)
    case.writer.add_rope_dimension_count(D)
    case.writer.add_rope_scaling_orig_ctx_len(64)
    case.writer.add_rope_scaling_attn_factors(1.19)
    case.writer.add_sliding_window(0)
    ends(case, 8, 5)
    for i in range(LAYERS):
        norms(case, i, 8)
        case.add(f"model.layers.{i}.self_attn.qkv_proj.weight", case.random(24, 8))
        case.add(f"model.layers.{i}.self_attn.o_proj.weight", case.random(8, 8))
        case.add(f"model.layers.{i}.mlp.gate_up_proj.weight", case.random(24, 8))
        case.add(f"model.layers.{i}.mlp.down_proj.weight", case.random(8, 12))
    case.writer.add_tensor("rope_factors_long.weight", np.array([1.5, 8], np.float32))
    case.writer.add_tensor("rope_factors_short.weight", np.array([1, 2], np.float32))
    case.save()


def gpt_oss(folder):
    """Experts are published as x·W with the columns of gate and up in turns."""
    case = Case(folder, "gpt-oss", MODEL_ARCH.GPT_OSS)
    sizes(case.writer, 8, 2, 1, 6, eps=1e-5, theta=150000.0)
    case.writer.add_key_length(D)
    case.writer.add_sliding_window(128)
    case.writer.add_expert_count(3)
    case.writer.add_expert_used_count(2)
    case.writer.add_expert_feed_forward_length(6)
    from gguf import RopeScalingType

    case.writer.add_rope_scaling_type(RopeScalingType.YARN)
    case.writer.add_rope_scaling_factor(32.0)
    case.writer.add_rope_scaling_orig_ctx_len(4096)
    ends(case, 8, 5)
    for i in range(LAYERS):
        at = f"model.layers.{i}"
        norms(case, i, 8)
        attention(case, i, 8, 2, 1, D, bias=True, out_bias=True)
        sinks = case.random(2)
        case.add(f"{at}.self_attn.sinks.weight", sinks, keep=False)
        case.published[f"{at}.self_attn.sinks"] = sinks
        case.add(f"{at}.mlp.router.weight", case.random(3, 8))
        case.add(f"{at}.mlp.router.bias", case.random(3))
        gate_up, gate_up_bias = case.random(3, 8, 12), case.random(3, 12)
        down, down_bias = case.random(3, 6, 8), case.random(3, 8)
        for t, part in enumerate(("gate", "up")):
            raw = f"{at}.mlp.experts.{part}_proj"
            weight = np.ascontiguousarray(gate_up[:, :, t::2].transpose(0, 2, 1))
            case.add("", weight, raw=f"{raw}.weight", keep=False)
            case.add("", np.ascontiguousarray(gate_up_bias[:, t::2]), raw=f"{raw}.bias", keep=False)
        raw = f"{at}.mlp.experts.down_proj"
        case.add("", np.ascontiguousarray(down.transpose(0, 2, 1)), raw=f"{raw}.weight", keep=False)
        case.add("", down_bias, raw=f"{raw}.bias", keep=False)
        for name, value in (("gate_up_proj", gate_up), ("down_proj", down)):
            case.published[f"{at}.mlp.experts.{name}"] = value
        for name, value in (("gate_up_proj_bias", gate_up_bias), ("down_proj_bias", down_bias)):
            case.published[f"{at}.mlp.experts.{name}"] = value
    case.save()


def mmproj(folder, name, width, text, big):
    """InternViT and projector; `big` is like the 6B: no qkv bias, q and k normed, RMSNorm."""
    case = Case(folder, name, MODEL_ARCH.MMPROJ)
    w = case.writer
    w.add_clip_has_vision_encoder(True)
    w.add_clip_projector_type("internvl")
    w.add_vision_projection_dim(text)
    w.add_vision_image_size(28)
    w.add_vision_patch_size(14)
    w.add_vision_embedding_length(width)
    w.add_vision_feed_forward_length(2 * width)
    w.add_vision_block_count(LAYERS)
    w.add_vision_head_count(2)
    w.add_vision_attention_layernorm_eps(1e-6)
    w.add_vision_use_gelu(True)
    w.add_vision_projector_scale_factor(2)
    if big:
        w.add_vision_preproc_min_tiles(1)
        w.add_vision_preproc_max_tiles(6)
    tower = "vision_tower."

    def add(key, value, suffix="", **more):
        source = key + suffix
        case.add(key, value, raw=source if key.startswith("mlp1") else tower + source, **more)

    at = "vision_model.embeddings"
    # One converter keeps the axes of size 1, another leaves them out.
    cls, pos = case.random(1, 1, width), case.random(1, 5, width)
    add(f"{at}.class_embedding", cls, stored=cls[0, 0] if big else cls)
    add(f"{at}.position_embedding", pos, ".weight", stored=pos[0] if big else pos)
    add(f"{at}.patch_embedding.weight", case.random(width, 3, 14, 14), kind=T.F16)
    add(f"{at}.patch_embedding.bias", case.random(width))
    for i in range(LAYERS):
        at = f"vision_model.encoder.layers.{i}"
        for part in ("weight",) if big else ("weight", "bias"):
            shape = (width,) if part == "weight" else ()
            qkv = case.random(3 * width, *shape)
            for p, one in zip("qkv", np.split(qkv, 3)):
                raw = f"{tower}{at}.self_attn.{p}_proj.{part}"
                case.add("", np.ascontiguousarray(one), raw=raw, keep=False)
            case.published[f"{at}.attn.qkv.{part}"] = qkv
            for norm in ("norm1", "norm2"):
                add(f"{at}.{norm}.{part}", case.random(width))
        if big:
            for norm in ("q_norm", "k_norm"):
                add(f"{at}.attn.{norm}.weight", case.random(width))
        for ls in ("ls1", "ls2"):
            add(f"{at}.{ls}", case.random(width), ".weight")
        for layer, out, into in (("attn.proj", width, width), ("mlp.fc1", 2 * width, width), ("mlp.fc2", width, 2 * width)):
            add(f"{at}.{layer}.weight", case.random(out, into))
            add(f"{at}.{layer}.bias", case.random(out))
    for n, shape in ((0, (4 * width,)), (1, (text, 4 * width)), (3, (text, text))):
        add(f"mlp1.{n}.weight", case.random(*shape))
        add(f"mlp1.{n}.bias", case.random(shape[0]))
    case.save()


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for make in (llama, quantized, qwen2, qwen3, qwen3moe, internlm2, phi3, gpt_oss):
        make(folder)
    mmproj(folder, "mmproj", 4, 8, big=False)
    mmproj(folder, "mmproj-big", 4, 16, big=True)


main()
