from ._drug_response import drug_response as drug_response
from ._table import Run as Run
from ._table import Table as Table
from ._table import fingerprint as fingerprint
from ._table import with_controls as with_controls
