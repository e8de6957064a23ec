from ._counts import poisson_deviance as poisson_deviance
from ._links import average_precision as average_precision
from ._links import link_recovery as link_recovery
