"""A contrastive training step: forward, backward, clipping and AdamW; f32 or bf16 autocast."""
import torch
import torch.nn.functional as F
from models import Llama, Pool, ViT, settle
from serve import serve


def prepare(case):
    settle(case)
    v, t = case["vision"], case["text"]
    vision = ViT(v["size"], v["patch"], v["width"], v["heads"], v["hidden"], v["layers"])
    pool = Pool(v["width"], v["heads"], case["embed"])
    text = Llama(t["vocab"], t["width"], t["heads"], t["hidden"], t["layers"])
    projection = torch.nn.Parameter(t["width"] ** -0.5 * torch.randn(t["width"], case["embed"]))
    scale = torch.nn.Parameter(torch.tensor(14.3).log())
    params = [*vision.parameters(), *pool.parameters(), *text.parameters(), projection, scale]
    groups = [
        {"params": [p for p in params if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))
    batch = case["batch"]
    pixels = torch.randn(batch, 3, v["size"], v["size"])
    ids = torch.randint(1, t["vocab"], (batch, t["length"]))
    labels = torch.arange(batch)

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=case["autocast"]):
            images = F.normalize(pool(vision(pixels)), dim=-1)
            texts = F.normalize(text(ids)[:, -1] @ projection, dim=-1)
            logits = scale.exp() * images @ texts.T
        logits = logits.float()
        loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()

    return run


serve(prepare, torch)
