"""How fast a recipe's training step is, what the machine could do, and where time goes."""

from thyroid_keras.benchmarking.bench import bench
from thyroid_keras.benchmarking.flops import count_flops

__all__ = ["bench", "count_flops"]
