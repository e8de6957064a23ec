from . import bench as bench
from . import data as data
from . import datasets as datasets
from . import get as get
from . import grn as grn
from . import metrics as metrics
from . import model as model
from . import nn as nn
from . import pl as pl
from . import pp as pp
from . import priors as priors
from . import tl as tl
from ._core.settings import settings as settings
from .tl._estimate import estimate as estimate

__version__: str
