"""Training of face networks by softmax cross-entropy: recipes are data, and every training can be resumed."""

from fusiform.networks.training._demo import DemoTraining, train_demo
from fusiform.networks.training._plan import epoch_order, log_spaced_steps
from fusiform.networks.training._recipe import RECIPES, Recipe, find_recipe
from fusiform.networks.training._result import TrainingResult, load_training
from fusiform.networks.training._train import train

__all__ = [
    "RECIPES",
    "DemoTraining",
    "Recipe",
    "TrainingResult",
    "epoch_order",
    "find_recipe",
    "load_training",
    "log_spaced_steps",
    "train",
    "train_demo",
]
