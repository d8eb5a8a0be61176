"""Short names of well-known encoders, as data: nothing is imported and no weights are looked for here."""

from __future__ import annotations

from typing import NamedTuple

PRESETS: dict[str, str] = {
    # Oquab et al. 2023; dinov2_vitl14 is the paper's encoder.
    **{
        f"dinov2_vit{letter}14{suffix}": f"timm:vit_{size}_patch14_{registers}dinov2.lvd142m"
        for suffix, registers in (("", ""), ("_reg", "reg4_"))
        for letter, size in (("s", "small"), ("b", "base"), ("l", "large"), ("g", "giant"))
    },
    # Simeoni et al. 2025
    **{
        f"dinov3_{model}": f"hf:facebook/dinov3-{repo}-pretrain-lvd1689m"
        for model, repo in (
            ("vits16", "vits16"),
            ("vits16plus", "vits16plus"),
            ("vitb16", "vitb16"),
            ("vitl16", "vitl16"),
            ("vith16plus", "vith16plus"),
            ("convnext_tiny", "convnext-tiny"),
            ("convnext_small", "convnext-small"),
            ("convnext_base", "convnext-base"),
            ("convnext_large", "convnext-large"),
        )
    },
    # Caron et al. 2021
    **{
        f"dino_vit{letter}{patch}": f"timm:vit_{size}_patch{patch}_224.dino"
        for letter, size in (("s", "small"), ("b", "base"))
        for patch in (8, 16)
    },
    # He et al. 2021
    "mae_vitb16": "timm:vit_base_patch16_224.mae",
    "mae_vitl16": "timm:vit_large_patch16_224.mae",
    "mae_vith14": "timm:vit_huge_patch14_224.mae",
    # Tschannen et al. 2025
    "siglip2_vitb16": "timm:vit_base_patch16_siglip_256.v2_webli",
    "siglip2_vitb16_512": "timm:vit_base_patch16_siglip_512.v2_webli",
    "siglip2_vitl16": "timm:vit_large_patch16_siglip_256.v2_webli",
    "siglip2_vitl16_512": "timm:vit_large_patch16_siglip_512.v2_webli",
    "siglip2_so400m14": "timm:vit_so400m_patch14_siglip_378.v2_webli",
    "siglip2_so400m16_512": "timm:vit_so400m_patch16_siglip_512.v2_webli",
    # Cao et al. 2026
    **{
        f"tipsv2_{name}14": f"timm:vit_{size}_patch14_reg1_tipsv2.webli"
        for name, size in (("vitb", "base"), ("vitl", "large"), ("so400m", "so400m"))
    },
    # Ranzinger et al. 2026
    "cradiov4_so400m16": "timm:vit_so400m_patch16_radio_v4.c_radio",
    # Kirillov et al. 2023
    "sam_vit_b": "timm:samvit_base_patch16.sa1b",
    "sam_vit_l": "timm:samvit_large_patch16.sa1b",
    "sam_vit_h": "timm:samvit_huge_patch16.sa1b",
}


class Gate(NamedTuple):
    """The licence of a repository that asks for consent before it gives its files, and an open alternative.

    Attributes:
        licence: name of the licence.
        alternative: an encoder that anyone may load.
    """

    licence: str
    alternative: str


def gate_of(repo: str) -> Gate | None:
    """The gate in front of a Hub repository, if we know of one.

    Example:
        >>> gate_of("facebook/dinov3-vitl16-pretrain-lvd1689m")
        Gate(licence='DINOv3 License', alternative='dinov2_vitl14_reg')
    """
    if not repo.startswith("facebook/dinov3-"):
        return None
    same_size = (("vits", "dinov2_vits14_reg"), ("vitb", "dinov2_vitb14_reg"), ("vitl", "dinov2_vitl14_reg"))
    model = repo.removeprefix("facebook/dinov3-")
    alternative = next((preset for size, preset in same_size if model.startswith(size)), None)
    if alternative is None:
        alternative = "timm:convnext_base.fb_in22k" if model.startswith("convnext") else "dinov2_vitg14_reg"
    return Gate("DINOv3 License", alternative)
