from ._links import link_recovery as link_recovery
from ._counts import poisson_deviance as poisson_deviance
