from ._controls import with_network as with_network
from ._perturbation import perturbation as perturbation
from ._report import report as report
from ._run import run as run
from ._table import Run as Run
from ._table import Table as Table
from ._table import fingerprint as fingerprint
from ._table import with_controls as with_controls
