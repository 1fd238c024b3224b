"""Training of face networks by softmax, triplets or regression: recipes are data, and every training can be resumed."""

from fusiform.networks.training._demo import DemoTraining, train_demo
from fusiform.networks.training._features import feature_layer
from fusiform.networks.training._ground_truth import GroundTruth, expression_network, ground_truth_network
from fusiform.networks.training._multitask import MultitaskResult, train_multitask
from fusiform.networks.training._plan import epoch_order, log_spaced_steps
from fusiform.networks.training._recipe import RECIPES, Recipe, find_recipe
from fusiform.networks.training._result import TrainingResult, load_training
from fusiform.networks.training._six_tasks import FACE_TASKS, FaceTask, fit_recipe
from fusiform.networks.training._tasks import Task, TaskLabels
from fusiform.networks.training._train import train
from fusiform.networks.training._train_task import TaskTraining, train_task
from fusiform.networks.training._triplets import triplet_loss

__all__ = [
    "FACE_TASKS",
    "RECIPES",
    "DemoTraining",
    "FaceTask",
    "GroundTruth",
    "MultitaskResult",
    "Recipe",
    "Task",
    "TaskLabels",
    "TaskTraining",
    "TrainingResult",
    "epoch_order",
    "expression_network",
    "feature_layer",
    "find_recipe",
    "fit_recipe",
    "ground_truth_network",
    "load_training",
    "log_spaced_steps",
    "train",
    "train_demo",
    "train_multitask",
    "train_task",
    "triplet_loss",
]
