"""Texts to ids with the SentencePiece library, in one thread."""
import sentencepiece
from serve import serve


def prepare(case):
    processor = sentencepiece.SentencePieceProcessor(model_file=case["model"])
    return lambda: processor.encode(case["texts"], num_threads=1)


serve(prepare, sentencepiece)
