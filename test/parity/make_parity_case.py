"""Writes test/fixtures/parity-case: a tiny random InternVL-C with awkward sizes, and what PyTorch computes for it.

Made with Python 3 and torch 2.13.0, safetensors, on a CPU:

    python test/parity/make_parity_case.py test/fixtures/parity-case

The modules below are written from the published description (arXiv:2312.14238 and the key names of the 14B
checkpoints), apart from the project's own code: sizes are multiples of nothing in particular, so that a swapped axis
or a wrong head split cannot go unseen. Weights are rounded to f16, so that the f16 files hold the same values.
"""

import json
import math
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

torch.manual_seed(20240612)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)

CONFIG = {
    "model_type": "internvl",
    "clip_embed_dim": 14,
    "attn_pool_num_heads": 3,
    "vision_config": {
        "model_type": "intern_vit_6b",
        "patch_size": 5,
        "image_size": 15,
        "qkv_bias": False,
        "hidden_size": 18,
        "num_attention_heads": 3,
        "intermediate_size": 26,
        "qk_normalization": True,
        "num_hidden_layers": 2,
        "norm_type": "rms_norm",
        "layer_norm_eps": 1e-6,
        "initializer_factor": 0.1,
    },
    "qllama_config": {
        "hidden_size": 20,
        "intermediate_size": 22,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "vocab_size": 37,
    },
}
VISION = CONFIG["vision_config"]
TEXT = CONFIG["qllama_config"]


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6))


def heads(x, count):
    """[B, L, D] -> [B, H, L, D/H]: channels of a head lie together."""
    B, L, D = x.shape
    return x.view(B, L, count, D // count).permute(0, 2, 1, 3)


def attend(q, k, v, mask=None):
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    y = scores.softmax(-1) @ v
    B, H, L, d = y.shape
    return y.permute(0, 2, 1, 3).reshape(B, L, H * d)


class Embeddings(nn.Module):
    def __init__(self):
        super().__init__()
        D, p = VISION["hidden_size"], VISION["patch_size"]
        grid = VISION["image_size"] // p
        self.class_embedding = nn.Parameter(torch.randn(1, 1, D))
        self.patch_embedding = nn.Conv2d(3, D, p, stride=p)
        self.position_embedding = nn.Parameter(torch.randn(1, 1 + grid * grid, D))

    def forward(self, pixels):
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        cls = self.class_embedding.expand(pixels.shape[0], -1, -1)
        return torch.cat([cls, patches], 1) + self.position_embedding


class VisionAttention(nn.Module):
    def __init__(self):
        super().__init__()
        D = VISION["hidden_size"]
        self.qkv = nn.Linear(D, 3 * D, bias=False)
        self.q_norm = RMSNorm(D)
        self.k_norm = RMSNorm(D)
        self.proj = nn.Linear(D, D)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        H = VISION["num_attention_heads"]
        return self.proj(attend(heads(self.q_norm(q), H), heads(self.k_norm(k), H), heads(v, H)))


class VisionMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(VISION["hidden_size"], VISION["intermediate_size"])
        self.fc2 = nn.Linear(VISION["intermediate_size"], VISION["hidden_size"])

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class VisionLayer(nn.Module):
    def __init__(self):
        super().__init__()
        D = VISION["hidden_size"]
        self.attn = VisionAttention()
        self.mlp = VisionMLP()
        self.norm1 = RMSNorm(D)
        self.norm2 = RMSNorm(D)
        self.ls1 = nn.Parameter(torch.full((D,), 0.1))
        self.ls2 = nn.Parameter(torch.full((D,), 0.1))

    def forward(self, x):
        x = x + self.ls1 * self.attn(self.norm1(x))
        return x + self.ls2 * self.mlp(self.norm2(x))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer() for _ in range(VISION["num_hidden_layers"]))


class VisionModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = Encoder()

    def forward(self, pixels):
        x = self.embeddings(pixels)
        for layer in self.encoder.layers:
            x = layer(x)
        return x


class PoolAttention(nn.Module):
    def __init__(self, D, out):
        super().__init__()
        self.q = nn.Linear(D, D, bias=False)
        self.k = nn.Linear(D, D, bias=False)
        self.v = nn.Linear(D, D, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(D))
        self.k_bias = nn.Parameter(torch.zeros(D))
        self.v_bias = nn.Parameter(torch.zeros(D))
        self.proj = nn.Linear(D, out)

    def forward(self, q, k, v):
        H = CONFIG["attn_pool_num_heads"]
        q = heads(self.q(q) + self.q_bias, H)
        k = heads(self.k(k) + self.k_bias, H)
        v = heads(self.v(v) + self.v_bias, H)
        return self.proj(attend(q, k, v))


class AttentionPooling(nn.Module):
    def __init__(self, D, out):
        super().__init__()
        self.norm1_q = nn.LayerNorm(D, eps=1e-5)
        self.norm1_k = nn.LayerNorm(D, eps=1e-5)
        self.norm1_v = nn.LayerNorm(D, eps=1e-5)
        self.cross_attn = PoolAttention(D, out)

    def forward(self, x):
        q = self.norm1_q(x.mean(1, keepdim=True))
        return self.cross_attn(q, self.norm1_k(x), self.norm1_v(x)).squeeze(1)


def rotate(x):
    """Rotary positions, pairs (i, i + d/2), base 10000: x [B, H, L, d]."""
    L, d = x.shape[-2:]
    inverse = 1.0 / (10000.0 ** (torch.arange(0, d, 2).float() / d))
    angles = torch.outer(torch.arange(L).float(), inverse)
    cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


class TextAttention(nn.Module):
    def __init__(self):
        super().__init__()
        D = TEXT["hidden_size"]
        self.q_proj = nn.Linear(D, D, bias=False)
        self.k_proj = nn.Linear(D, D, bias=False)
        self.v_proj = nn.Linear(D, D, bias=False)
        self.o_proj = nn.Linear(D, D, bias=False)

    def forward(self, x):
        H, L = TEXT["num_attention_heads"], x.shape[1]
        causal = torch.ones(L, L, dtype=torch.bool).tril()
        q, k = rotate(heads(self.q_proj(x), H)), rotate(heads(self.k_proj(x), H))
        return self.o_proj(attend(q, k, heads(self.v_proj(x), H), causal))


class TextMLP(nn.Module):
    def __init__(self):
        super().__init__()
        D, M = TEXT["hidden_size"], TEXT["intermediate_size"]
        self.gate_proj = nn.Linear(D, M, bias=False)
        self.down_proj = nn.Linear(M, D, bias=False)
        self.up_proj = nn.Linear(D, M, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TextLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = TextAttention()
        self.mlp = TextMLP()
        self.input_layernorm = RMSNorm(TEXT["hidden_size"])
        self.post_attention_layernorm = RMSNorm(TEXT["hidden_size"])

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class TextModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(TEXT["vocab_size"], TEXT["hidden_size"])
        self.layers = nn.ModuleList(TextLayer() for _ in range(TEXT["num_hidden_layers"]))
        self.norm = RMSNorm(TEXT["hidden_size"])

    def forward(self, ids):
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class QLLaMA(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = TextModel()


class InternVLC(nn.Module):
    def __init__(self):
        super().__init__()
        E, D = CONFIG["clip_embed_dim"], TEXT["hidden_size"]
        self.vision_model = VisionModel()
        self.clip_projector = AttentionPooling(VISION["hidden_size"], E)
        self.qllama = QLLaMA()
        self.text_projection = nn.Parameter(torch.randn(D, E) * D**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, pixels):
        return self.clip_projector(self.vision_model(pixels))

    def encode_text(self, ids):
        at_end = (ids > 0).sum(1) - 1
        hidden = self.qllama.model(ids)
        return hidden[torch.arange(len(ids)), at_end] @ self.text_projection

    def loss(self, pixels, ids):
        image = F.normalize(self.encode_image(pixels), dim=-1)
        text = F.normalize(self.encode_text(ids), dim=-1)
        logits = self.logit_scale.exp() * image @ text.T
        target = torch.arange(len(ids))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def make_inputs():
    B, T = 5, 9
    pixels = torch.randn(B, 3, VISION["image_size"], VISION["image_size"])
    ids = torch.zeros(B, T, dtype=torch.int64)
    for row, length in enumerate([9, 4, 6, 3, 8]):
        ids[row, :length] = torch.randint(3, TEXT["vocab_size"], (length,))
        ids[row, 0], ids[row, length - 1] = 1, 2
    return pixels, ids


def main(folder):
    model = InternVLC()
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms and biases are not left at ones and zeros, where a forgotten one would not show.
            parameter.add_(0.1 * torch.randn_like(parameter))
            parameter.copy_(parameter.half().float())
    half = {key: p.detach().half().contiguous() for key, p in model.named_parameters()}
    pixels, ids = make_inputs()
    case = {"pixel_values": pixels, "text_ids": ids}
    with torch.no_grad():
        case["vit_last_hidden"] = model.vision_model(pixels)
        case["c_image"] = model.encode_image(pixels)
        case["c_text"] = model.encode_text(ids)

    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step in range(5):
        optimizer.zero_grad()
        loss = model.loss(pixels, ids)
        loss.backward()
        losses.append(loss.detach())
        if step == 0:
            for key, p in model.named_parameters():
                case[f"stage1.grad.{key}"] = p.grad.clone()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if step == 0:
            case["stage1.grad_norm"] = norm.detach().clone()
        optimizer.step()
    case["stage1.losses"] = torch.stack(losses)
    for key, p in model.named_parameters():
        # A bias on attention keys has no true gradient: AdamW would walk along its rounding.
        if key not in ("clip_projector.norm1_k.bias", "clip_projector.cross_attn.k_bias"):
            case[f"stage1.after5.{key}"] = p.detach().clone()

    folder.mkdir(parents=True, exist_ok=True)
    save_file(half, folder / "model.safetensors")
    save_file({k: v.contiguous() for k, v in case.items()}, folder / "case.safetensors")
    torch.save({stand_alone_name(key): value for key, value in half.items()}, folder / "internvl_c.pth")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")


def stand_alone_name(key):
    """The names of internvl_c_13b_224px.pth."""
    for old, new in [
        ("vision_model.embeddings.class_embedding", "cls_token"),
        ("vision_model.embeddings.position_embedding", "pos_embed"),
        ("vision_model.embeddings.patch_embedding.", "patch_embed.proj."),
        ("vision_model.encoder.layers.", "blocks."),
        ("qllama.model.", "transformer."),
    ]:
        if key.startswith(old):
            key = new + key[len(old) :]
    return key + ".gamma" if key.endswith((".ls1", ".ls2")) else key


if __name__ == "__main__":
    main(Path(sys.argv[1]))
