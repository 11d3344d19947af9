"""An InternVL-Chat of transformers with random weights: made-up pictures and ids, answered greedily."""
import torch
import transformers
from models import settle
from serve import Stopwatch, answer
from transformers import DynamicCache, InternVLConfig, InternVLForConditionalGeneration


def prepare(case):
    settle(case)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[case["dtype"]]
    torch.set_default_dtype(dtype)
    config = InternVLConfig(**case["config"])
    model = InternVLForConditionalGeneration(config).eval()
    size, image = config.vision_config.image_size[0], config.image_token_id

    def run(question):
        tiles, length = question["picture"]["tiles"], question["promptTokens"]
        ids = torch.randint(0, image, (1, length))
        ids[0, 8 : 8 + tiles * config.image_seq_length] = image
        pixels = torch.randn(tiles, 3, size, size, dtype=dtype)
        watch = Stopwatch()
        with torch.inference_mode():
            cache = DynamicCache(config=config.text_config)
            given = {"input_ids": ids, "pixel_values": pixels}
            while True:
                logits = model(**given, cache=cache, use_cache=True, logits_to_keep=1).logits
                token = logits[:, -1].argmax(-1, keepdim=True)
                token.item()
                watch.token()
                if len(watch.times) == question["tokens"]:
                    return watch.answer(length)
                given = {"input_ids": token}

    return run


answer(prepare, transformers)
