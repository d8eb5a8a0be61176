"""Small SAMs of random weights, whose masks are as decided as those of trained ones."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

SIDE, DIM = 128, 32


class CompactMasks(MaskDecoder):  # type: ignore[misc]
    """Random weights spread masks over the whole image; this keeps each to a place around its peak."""

    def predict_masks(self, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        masks, iou = super().predict_masks(**inputs)
        side = masks.shape[-1]
        peak = masks.flatten(2).argmax(dim=2)[..., None, None]
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        squared = (rows - peak // side).square() + (columns - peak % side).square()
        spread = masks.std(dim=(2, 3), keepdim=True)
        return 20 * (masks / spread - squared / 20), iou


def segment_anything_module(seed: int = 0) -> Any:
    """A ``segment_anything`` model of 128 px with three masks a point, some of them stable."""
    torch.manual_seed(seed)
    cells = SIDE // 16
    module = Sam(
        image_encoder=ImageEncoderViT(
            img_size=SIDE, patch_size=16, embed_dim=DIM, depth=2, num_heads=2, out_chans=DIM, window_size=4
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=DIM, image_embedding_size=(cells, cells), input_image_size=(SIDE, SIDE), mask_in_chans=4
        ),
        mask_decoder=CompactMasks(
            transformer_dim=DIM,
            transformer=TwoWayTransformer(depth=1, embedding_dim=DIM, num_heads=2, mlp_dim=32),
            iou_head_hidden_dim=16,
        ),
    )
    decoder = module.mask_decoder
    sharpen(
        [head.layers[-1] for head in decoder.output_hypernetworks_mlps],
        decoder.iou_prediction_head.layers[-1],
    )
    return module.eval()


def sharpen(heads: list[Any], iou_head: Any) -> None:
    """Raise logits from hundredths to tens, and spread predicted IoU over about 0 to 1."""
    with torch.no_grad():
        for head in heads:
            head.weight *= 300
            head.bias *= 300
        iou_head.weight *= 5
        iou_head.bias += 0.6


def sam_folder(folder: Path, *, high_quality: bool = False) -> Path:
    """A folder of transformers' SAM or SAM-HQ."""
    torch.manual_seed(0)
    config_class: Any = transformers.SamHQConfig if high_quality else transformers.SamConfig
    decoder = mask_decoder_config() | ({"vit_dim": DIM} if high_quality else {})
    config = config_class(
        vision_config={
            "image_size": SIDE,
            "patch_size": 16,
            "hidden_size": DIM,
            "output_channels": DIM,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "mlp_dim": 32,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": DIM // 2,
        },
        prompt_encoder_config={
            "hidden_size": DIM,
            "image_size": SIDE,
            "patch_size": 16,
            "mask_input_channels": 4,
            "image_embedding_size": SIDE // 16,
        },
        mask_decoder_config=decoder,
    )
    return saved((transformers.SamHQModel if high_quality else transformers.SamModel)(config), folder)


def sam2_folder(folder: Path) -> Path:
    """A folder of transformers' SAM 2."""
    torch.manual_seed(0)
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIDE, SIDE],
        num_attention_heads=1,
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[3],
    )
    config = transformers.Sam2Config(
        vision_config={
            "backbone_config": backbone,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
            "fpn_hidden_size": DIM,
        },
        prompt_encoder_config={
            "hidden_size": DIM,
            "image_size": SIDE,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config=mask_decoder_config(),
    )
    return saved(transformers.Sam2Model(config), folder)


def mask_decoder_config() -> dict[str, Any]:
    return {
        "hidden_size": DIM,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "mlp_dim": 32,
        "iou_head_hidden_dim": 16,
    }


def saved(model: Any, folder: Path) -> Path:
    for module in model.modules():  # their own initial weights are too small for any mask
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=(module.weight[0].numel()) ** -0.5)
    decoder = model.mask_decoder
    sharpen(
        [head.proj_out for head in decoder.output_hypernetworks_mlps], decoder.iou_prediction_head.proj_out
    )
    model.save_pretrained(folder)
    content = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3], "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder
