"""Custom layers; importing this registers them, so that saved models load."""

from thyroid_keras.layers.attention_pool import AttentionPool
from thyroid_keras.layers.batch_norm import BatchNorm
from thyroid_keras.layers.brightness import BrightnessMap
from thyroid_keras.layers.feedback import FeedbackGate
from thyroid_keras.layers.global_attention import GlobalAttention
from thyroid_keras.layers.grid_attention import GridAttention
from thyroid_keras.layers.joined_conv import JoinedConv2D
from thyroid_keras.layers.lap import LAP, LAPClassifier
from thyroid_keras.layers.local_attention import LocalAttention
from thyroid_keras.layers.map_memory import MapMemory
from thyroid_keras.layers.pixel_cnn import PixelCNN
from thyroid_keras.layers.votes import CombineVotes
from thyroid_keras.layers.whitening import Whitening

__all__ = [
    "LAP",
    "AttentionPool",
    "BatchNorm",
    "BrightnessMap",
    "CombineVotes",
    "FeedbackGate",
    "GlobalAttention",
    "GridAttention",
    "JoinedConv2D",
    "LAPClassifier",
    "LocalAttention",
    "MapMemory",
    "PixelCNN",
    "Whitening",
]
