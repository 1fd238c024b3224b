"""Training of face networks by softmax cross-entropy: recipes are data, and every training can be resumed."""

from fusiform.networks.training._demo import DemoTraining, train_demo
from fusiform.networks.training._features import feature_layer
from fusiform.networks.training._multitask import MultitaskResult, train_multitask
from fusiform.networks.training._plan import epoch_order, log_spaced_steps
from fusiform.networks.training._recipe import RECIPES, Recipe, find_recipe
from fusiform.networks.training._result import TrainingResult, load_training
from fusiform.networks.training._tasks import Task, TaskLabels
from fusiform.networks.training._train import train

__all__ = [
    "RECIPES",
    "DemoTraining",
    "MultitaskResult",
    "Recipe",
    "Task",
    "TaskLabels",
    "TrainingResult",
    "epoch_order",
    "feature_layer",
    "find_recipe",
    "load_training",
    "log_spaced_steps",
    "train",
    "train_demo",
    "train_multitask",
]
