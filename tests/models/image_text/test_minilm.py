import torch
from transformers import AutoModel, AutoTokenizer

from fmbseg.models.image_text.conse import MiniLM
from fmbseg.models.loading.assets import MINILM, packaged_file


def test_is_the_mean_of_the_tokens_states_of_each_sentence_alone() -> None:
    sentences = ["a cat", "a much longer sentence about a cat that sits on a mat in front of a door", "dogs"]
    folder = packaged_file(MINILM).parent
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    vectors = MiniLM().encode(sentences)
    for sentence, vector in zip(sentences, vectors, strict=True):
        tokens = tokenizer(sentence, return_tensors="pt")  # alone there is no padding to leave out
        with torch.no_grad():
            mean = model(**tokens).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(vector, mean / mean.norm(), rtol=1e-4, atol=1e-5)


def test_only_the_first_256_tokens_count() -> None:
    model = MiniLM()
    # [CLS], 254 words of one token each, [SEP]: what follows is cut.
    long, longer = model.encode(["cat " * 254, "cat " * 254 + "dog " * 50])
    torch.testing.assert_close(long, longer, rtol=1e-4, atol=1e-5)
    assert (long - model.encode(["cat " * 200])[0]).abs().max() > 1e-4
