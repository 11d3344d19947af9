"""Writes the reference cases of the InternVL-C tests: outputs, losses and gradients of tiny random models.

    python test/parity/make_internvl_c.py test/parity/golden

Needs torch 2.13.0 and safetensors 0.8.0. The modules are written from the paper's description (arXiv:2312.14238 §3)
with the published key names; sizes are small and awkward. Everything is f32 and seeded.
"""

import itertools
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

EPS = 1e-6


class Rms(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS))


def softmax_attention(q, k, v, heads, mask=None):
    """q [B, L, D], k and v [B, M, D]; the heads are consecutive channels."""

    def cut(t):
        return t.unflatten(-1, (heads, -1)).transpose(1, 2)

    q, k, v = cut(q), cut(k), cut(v)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class VisionAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c["hidden_size"]
        self.heads = c["num_attention_heads"]
        self.qkv = nn.Linear(width, 3 * width, bias=c["qkv_bias"])
        if c["qk_normalization"]:
            self.q_norm = Rms(width)
            self.k_norm = Rms(width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        if hasattr(self, "q_norm"):
            q, k = self.q_norm(q), self.k_norm(k)
        return self.proj(softmax_attention(q, k, v, self.heads))


class VisionLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c["hidden_size"]

        def norm():
            return Rms(width) if c["norm_type"] == "rms_norm" else nn.LayerNorm(width, eps=EPS)

        self.attn = VisionAttention(c)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(width, c["intermediate_size"])
        self.mlp.fc2 = nn.Linear(c["intermediate_size"], width)
        self.norm1 = norm()
        self.norm2 = norm()
        self.ls1 = nn.Parameter(torch.ones(width))
        self.ls2 = nn.Parameter(torch.ones(width))

    def forward(self, x, keep):
        """keep [2, B]: what the branches are multiplied with."""
        x = x + self.attn(self.norm1(x)) * self.ls1 * keep[0, :, None, None]
        h = self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))
        return x + h * self.ls2 * keep[1, :, None, None]


class Vision(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, patch = c["hidden_size"], c["patch_size"]
        tokens = 1 + (c["image_size"] // patch) ** 2
        self.embeddings = nn.Module()
        self.embeddings.class_embedding = nn.Parameter(torch.zeros(1, 1, width))
        self.embeddings.patch_embedding = nn.Conv2d(3, width, patch, patch)
        self.embeddings.position_embedding = nn.Parameter(torch.zeros(1, tokens, width))
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VisionLayer(c) for _ in range(c["num_hidden_layers"]))

    def forward(self, pixels, kept=None, drop=None):
        """kept [B, K]: patches that stay, after their positions were added; drop [2 * layers, B]."""
        e = self.embeddings
        patches = e.patch_embedding(pixels).flatten(2).transpose(1, 2)
        patches = patches + e.position_embedding[:, 1:]
        if kept is not None:
            patches = torch.stack([row[index] for row, index in zip(patches, kept)])
        first = (e.class_embedding + e.position_embedding[:, :1]).expand(len(pixels), -1, -1)
        x = torch.cat([first, patches], 1)
        if drop is None:
            drop = torch.ones(2 * len(self.encoder.layers), len(pixels))
        for i, layer in enumerate(self.encoder.layers):
            x = layer(x, drop[2 * i : 2 * i + 2])
        return x


class Pool(nn.Module):
    def __init__(self, width, heads, out):
        super().__init__()
        self.heads = heads
        for name in "qkv":
            setattr(self, f"norm1_{name}", nn.LayerNorm(width, eps=1e-5))
        cross = self.cross_attn = nn.Module()
        for name in "qkv":
            setattr(cross, name, nn.Linear(width, width, bias=False))
            setattr(cross, f"{name}_bias", nn.Parameter(torch.zeros(width)))
        cross.proj = nn.Linear(width, out)

    def forward(self, x):
        c = self.cross_attn
        q = c.q(self.norm1_q(x.mean(1, keepdim=True))) + c.q_bias
        k = c.k(self.norm1_k(x)) + c.k_bias
        v = c.v(self.norm1_v(x)) + c.v_bias
        return c.proj(softmax_attention(q, k, v, self.heads))[:, 0]


class TextLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, inner = c["hidden_size"], c["intermediate_size"]
        self.heads = c["num_attention_heads"]
        self.self_attn = nn.Module()
        for name in "qkvo":
            setattr(self.self_attn, f"{name}_proj", nn.Linear(width, width, bias=False))
        self.mlp = nn.Module()
        self.mlp.gate_proj = nn.Linear(width, inner, bias=False)
        self.mlp.up_proj = nn.Linear(width, inner, bias=False)
        self.mlp.down_proj = nn.Linear(inner, width, bias=False)
        self.input_layernorm = Rms(width)
        self.post_attention_layernorm = Rms(width)

    def rotate(self, x):
        """Pairs (i, i + d/2) of every head turn by position * 10000^(-2i/d)."""
        h = x.unflatten(-1, (self.heads, -1))
        half = h.shape[-1] // 2
        turn = 10000.0 ** (-torch.arange(half).float() / half)
        angle = torch.arange(x.shape[1]).float()[:, None] * turn
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        a, b = h[..., :half], h[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).flatten(2)

    def forward(self, x):
        a, m = self.self_attn, self.mlp
        h = self.input_layernorm(x)
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        q, k = self.rotate(a.q_proj(h)), self.rotate(a.k_proj(h))
        x = x + a.o_proj(softmax_attention(q, k, a.v_proj(h), self.heads, causal))
        h = self.post_attention_layernorm(x)
        return x + m.down_proj(F.silu(m.gate_proj(h)) * m.up_proj(h))


class Text(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(TextLayer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Rms(c["hidden_size"])

    def forward(self, ids):
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class InternVLC(nn.Module):
    def __init__(self, c):
        super().__init__()
        vision, text = c["vision_config"], c["qllama_config"]
        self.vision_model = Vision(vision)
        self.clip_projector = Pool(vision["hidden_size"], c["attn_pool_num_heads"], c["clip_embed_dim"])
        self.qllama = nn.Module()
        self.qllama.model = Text(text)
        self.text_projection = nn.Parameter(torch.zeros(text["hidden_size"], c["clip_embed_dim"]))
        self.logit_scale = nn.Parameter(torch.tensor(0.0))

    def image(self, pixels, kept=None, drop=None):
        return self.clip_projector(self.vision_model(pixels, kept, drop))

    def text(self, ids):
        last = (ids > 0).sum(1) - 1
        hidden = self.qllama.model(ids)
        return hidden[torch.arange(len(ids)), last] @ self.text_projection

    def loss(self, image, text):
        logits = F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T * self.logit_scale.exp()
        target = torch.arange(len(logits))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def randomize(model, generator):
    """Values large enough that every part matters: norms and scales near one, weights near 1/sqrt(inputs)."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        fan_in = p[0].numel() if p.dim() > 1 else 1
        near_one = p.dim() <= 1 and not name.endswith("bias")
        with torch.no_grad():
            p.copy_(1 + 0.2 * noise if near_one else noise / math.sqrt(fan_in) * (0.3 if p.dim() <= 1 else 1))
    return model


# Kept in step with internvl_c.test.ts, which builds the same models.
CONFIG = {
    "clip_embed_dim": 10,
    "attn_pool_num_heads": 2,
    "vision_config": {
        "patch_size": 4,
        "image_size": 12,
        "hidden_size": 12,
        "num_attention_heads": 3,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "norm_type": "rms_norm",
        "qk_normalization": True,
        "qkv_bias": False,
    },
    "qllama_config": {
        "hidden_size": 16,
        "intermediate_size": 22,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "vocab_size": 31,
    },
}


def prefixed(prefix, tensors):
    return {f"{prefix}{k}": v.detach().clone().contiguous() for k, v in tensors.items()}


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {k: p.grad for k, p in model.named_parameters()}


def contrastive(generator):
    model = randomize(InternVLC(CONFIG), generator)
    pixels = torch.randn(3, 3, 12, 12, generator=generator)
    ids = torch.tensor([[1, 5, 30, 7, 2, 0, 0], [1, 9, 4, 3, 8, 30, 2], [1, 2, 0, 0, 0, 0, 0]])
    kept = torch.tensor([[0, 3, 8, 4], [7, 1, 2, 5], [8, 6, 0, 1]])
    drop = torch.tensor([[1.25, 0, 1.25], [1.25, 1.25, 0], [0, 1.25, 1.25], [1.25, 0, 0]])
    hidden = model.vision_model(pixels)
    image, text = model.image(pixels), model.text(ids)
    loss = model.loss(image, text)
    noisy_image = model.image(pixels, kept, drop)
    noisy_loss = model.loss(noisy_image, model.text(ids))
    out = {
        "pixels": pixels,
        "ids": ids,
        "kept": kept,
        "drop": drop.reshape(4, 3, 1, 1),
        "vit": hidden,
        "pooled": image,
        "text_hidden": model.qllama.model(ids),
        "text": text,
        "loss": loss,
        "noisy.image": noisy_image,
        "noisy.loss": noisy_loss,
    }
    out |= prefixed("weight.", model.state_dict())
    out |= prefixed("grad.", gradients(model, loss))
    out |= prefixed("noisy.grad.", gradients(model, model.loss(model.image(pixels, kept, drop), model.text(ids))))
    return prefixed("", out)


def towers(generator):
    """InternViT with every combination of its options: outputs, and gradients of sum(output * direction)."""
    pixels = torch.randn(2, 3, 12, 12, generator=generator)
    direction = torch.randn(2, 10, 12, generator=generator)
    out = {"pixels": pixels, "direction": direction}
    for norm, qk, bias in itertools.product(["rms_norm", "layer_norm"], [True, False], [True, False]):
        options = {"norm_type": norm, "qk_normalization": qk, "qkv_bias": bias, "num_hidden_layers": 1}
        model = randomize(Vision(CONFIG["vision_config"] | options), generator)
        y = model(pixels)
        name = f"{norm}.{'qk_norm' if qk else 'plain'}.{'bias' if bias else 'free'}."
        out |= {f"{name}output": y} | prefixed(f"{name}weight.", model.state_dict())
        out |= prefixed(f"{name}grad.", gradients(model, (y * direction).sum()))
    return prefixed("", out)


def positions(generator):
    """Position tables resized as torch does it: bicubic, half-pixel centres, no antialiasing."""
    out = {}
    for grid, to in [(4, 6), (5, 3), (3, 7), (4, 4), (1, 2), (16, 26)]:
        table = torch.randn(1, 1 + grid * grid, 3, generator=generator)
        image = table[:, 1:].reshape(1, grid, grid, 3).permute(0, 3, 1, 2)
        resized = F.interpolate(image, size=(to, to), mode="bicubic", align_corners=False)
        flat = resized.permute(0, 2, 3, 1).reshape(1, to * to, 3)
        out[f"{grid}.{to}.table"] = table
        out[f"{grid}.{to}.resized"] = torch.cat([table[:, :1], flat], 1)
    return prefixed("", out)


def main():
    folder = Path(sys.argv[1])
    for i, (name, make) in enumerate(
        [("internvl_c", contrastive), ("intern_vit", towers), ("positions", positions)]
    ):
        save_file(make(torch.Generator().manual_seed(20231 + i)), folder / f"{name}.safetensors")


main()
