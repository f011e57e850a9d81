"""The markers of Qwen's tokenizers, which other families build upon as well."""

QWEN_WORDS = 151643
"""The id of the first marker: that many tokens are bytes and words."""
QWEN2_MARKERS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
"""Of Qwen2.5 and Qwen2.5-VL, ids 151643 to 151664."""
QWEN3_MARKERS = (*QWEN2_MARKERS, "<tool_response>", "</tool_response>", "<think>", "</think>")
"""Of Qwen3 and Qwen3-VL, to 151668."""
