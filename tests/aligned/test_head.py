import pytest
import torch
from torch.nn import functional

from fmbseg.aligned.head import AlignmentHead, HeadSettings, default_heads


def by_hand(head: AlignmentHead, features: torch.Tensor) -> torch.Tensor:
    """The block from its weights: x += attention(norm(x)); x += mlp(norm(x)); norm, linear, unit length."""
    weights = dict(head.named_parameters())
    batch, channels, height, width = features.shape
    heads = head.settings.heads
    x = features.flatten(2).transpose(1, 2)

    def norm(values: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = values.mean(-1, keepdim=True), values.var(-1, keepdim=True, unbiased=False)
        return (values - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.weight"] + weights[
            f"{name}.bias"
        ]

    projected = norm(x, "block.norm1") @ weights["block.self_attn.in_proj_weight"].T
    query, key, value = (
        part.view(batch, -1, heads, channels // heads).transpose(1, 2)
        for part in (projected + weights["block.self_attn.in_proj_bias"]).chunk(3, dim=-1)
    )
    attention = (query @ key.transpose(2, 3) / (channels // heads) ** 0.5).softmax(dim=-1)
    mixed = (attention @ value).transpose(1, 2).reshape(batch, -1, channels)
    x = x + mixed @ weights["block.self_attn.out_proj.weight"].T + weights["block.self_attn.out_proj.bias"]
    hidden = norm(x, "block.norm2") @ weights["block.linear1.weight"].T + weights["block.linear1.bias"]
    x = x + functional.gelu(hidden) @ weights["block.linear2.weight"].T + weights["block.linear2.bias"]
    out = norm(x, "norm") @ weights["project.weight"].T + weights["project.bias"]
    out = out / out.norm(dim=-1, keepdim=True)
    grid: torch.Tensor = out.transpose(1, 2).reshape(batch, -1, height, width)
    return grid


@pytest.mark.parametrize("training", [True, False])
def test_it_is_one_pre_norm_block(training: bool) -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=12, out_dim=5, heads=3).double().train(training)
    features = torch.randn(2, 12, 3, 4, dtype=torch.float64)
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(head(features), by_hand(head, features), rtol=1e-9, atol=1e-9)


def test_the_size_of_the_papers_head() -> None:
    """A block of width d has 12 d^2 + 13 d parameters; then a LayerNorm and a Linear to CLIP's 768."""
    with torch.device("meta"):
        head = AlignmentHead(in_dim=1024, out_dim=768)
    d = 1024
    assert sum(p.numel() for p in head.parameters()) == 12 * d**2 + 13 * d + 2 * d + d * 768 + 768
    assert head.settings.heads == 16


def test_images_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=32, out_dim=6)
    features = torch.randn(2, 32, 3, 3)
    torch.testing.assert_close(head(features)[:1], head(features[:1]), rtol=1e-5, atol=1e-6)


def test_patches_of_an_image_do() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=32, out_dim=6)
    features = torch.randn(1, 32, 2, 2)
    changed = features.clone()
    changed[:, 0, 1, 1] += 1
    assert not torch.allclose(head(features)[..., 0, 0], head(changed)[..., 0, 0])


def test_without_attention_every_patch_is_mapped_by_itself() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=32, out_dim=6, attention=False)
    features = torch.randn(1, 32, 2, 2)
    changed = features.clone()
    changed[:, 0, 1, 1] += 1
    torch.testing.assert_close(head(features)[..., :1, :], head(changed)[..., :1, :])
    assert not torch.allclose(head(features)[..., 1, 1], head(changed)[..., 1, 1])


def test_without_attention_it_is_the_mlp_half_of_the_block() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=12, out_dim=5, mlp_ratio=2, attention=False).double()
    weights = dict(head.named_parameters())
    patch = torch.randn(12, dtype=torch.float64)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        scaled = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    hidden = weights["block.mlp.1.weight"] @ norm(patch, "block.mlp.0") + weights["block.mlp.1.bias"]
    out = patch + weights["block.mlp.3.weight"] @ functional.gelu(hidden) + weights["block.mlp.3.bias"]
    out = weights["project.weight"] @ norm(out, "norm") + weights["project.bias"]
    torch.testing.assert_close(head(patch[None, :, None, None])[0, :, 0, 0], out / out.norm())


@pytest.mark.parametrize(("in_dim", "heads"), [(472, 8), (1024, 16), (768, 16), (384, 12), (120, 3), (31, 1)])
def test_default_heads_divide(in_dim: int, heads: int) -> None:
    assert default_heads(in_dim) == heads
    assert in_dim % heads == 0


@pytest.mark.parametrize("shape", [(2, 12, 3), (1, 13, 3, 3)])
def test_wrong_features_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes features \(B, 12, h, w\); got"):
        AlignmentHead(in_dim=12, out_dim=5)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"in_dim": 0}, "in_dim .* got 0"),
        ({"out_dim": -3}, "out_dim .* got -3"),
        ({"heads": 5}, "5 attention heads do not divide in_dim 12"),
        ({"heads": True}, "heads .* got True"),
        ({"in_dim": 12.0}, "in_dim .* got 12.0"),
        ({"mlp_ratio": 0}, "mlp_ratio .* got 0"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio .* got nan"),
        ({"mlp_ratio": "4"}, "mlp_ratio .* got '4'"),
        ({"attention": 1}, "attention .* got 1"),
    ],
)
def test_settings_that_make_no_head(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeadSettings(**{"in_dim": 12, "out_dim": 5, "heads": 3, **values})  # type: ignore[arg-type]
