"""Masks of SAM, SAM 2 and SAM-HQ by transformers' own model and post-processing, apart from fmbseg's code."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
import transformers
from numpy.typing import NDArray
from PIL import Image

CLASSES = {"hf-sam": "SamModel", "hf-sam2": "Sam2Model", "hf-sam-hq": "SamHQModel"}


def by_transformers(
    family: str,
    folder: Path,
    image: NDArray[np.uint8],
    prompts: NDArray[np.float32],
    labels: list[int] | None = None,
) -> tuple[Any, Any]:
    """Masks (N, 3, H, W) and IoUs (N, 3) of N points or boxes of an image of 150 x 225 px.

    With labels, the points are one prompt: 1 is on the thing, 0 beside it.
    """
    height, width = image.shape[:2]
    inner = (128, 128) if family == "hf-sam2" else (85, 128)  # 150 * 128 / 225 = 85.3
    resized = Image.fromarray(image).resize(inner[::-1], Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.asarray(resized) / np.float32(255)).permute(2, 0, 1)
    pixels = (pixels - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor([0.2, 0.25, 0.3])[
        :, None, None
    ]
    pixels = F.pad(pixels, (0, 128 - inner[1], 0, 128 - inner[0]))[None]
    model = getattr(transformers, CLASSES[family]).from_pretrained(folder).eval()
    scale = torch.tensor([inner[1] / width, inner[0] / height])
    given: dict[str, torch.Tensor] = (
        {"input_boxes": (torch.from_numpy(prompts) * scale.repeat(2))[None]}
        if prompts.shape[1] == 4
        else {
            "input_points": (torch.from_numpy(prompts) * scale)[None, :, None],
            "input_labels": torch.ones(1, len(prompts), 1, dtype=torch.int),
        }
    )
    if labels is not None:
        given = {
            "input_points": given["input_points"].transpose(1, 2),
            "input_labels": torch.tensor([[labels]], dtype=torch.int),
        }
    with torch.no_grad():
        output = model(pixel_values=pixels, multimask_output=True, **given)
    if family != "hf-sam2":
        processor: Any = transformers.SamImageProcessor(pad_size={"height": 128, "width": 128})
        masks = processor.post_process_masks(output.pred_masks, [(height, width)], [inner])
    else:
        sam2: Any = transformers.Sam2ImageProcessor()
        masks = sam2.post_process_masks(output.pred_masks, [(height, width)])
    return masks[0].numpy(), output.iou_scores[0].numpy()
