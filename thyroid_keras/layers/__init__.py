"""Custom layers; importing this registers them, so that saved models load."""

from thyroid_keras.layers.attention_pool import AttentionPool
from thyroid_keras.layers.batch_norm import BatchNorm
from thyroid_keras.layers.grid_attention import GridAttention
from thyroid_keras.layers.votes import CombineVotes
from thyroid_keras.layers.whitening import Whitening

__all__ = ["AttentionPool", "BatchNorm", "CombineVotes", "GridAttention", "Whitening"]
