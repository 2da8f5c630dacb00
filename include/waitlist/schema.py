"""The columns of the source query, as a snapshot stores them (contract 1).

``docs/data-contract.md`` describes each column for the author of a query for a PMO.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

POSTS: Final = pa.schema(
    [
        pa.field("post_id", pa.int64(), nullable=False),
        pa.field("personnummer", pa.string()),
        pa.field("patient", pa.string()),
        # Null if PMO has neither a number nor a name.
        pa.field("sekretess", pa.bool_()),
        # HSA-id and contact form: in their canonical form (``columns.forms``).
        pa.field("enhet_hsa_id", pa.string()),
        pa.field("enhet", pa.string()),
        pa.field("kategori", pa.string()),
        pa.field("kontaktform", pa.string()),
        pa.field("vantar_pa_besok", pa.bool_(), nullable=False),
        pa.field("nybesok", pa.bool_(), nullable=False),
        pa.field("har_bilaga", pa.bool_(), nullable=False),
        # Booking dates remain texts: a text that is not a date must reach the rules as it was written.
        pa.field("boka_from", pa.string()),
        pa.field("boka_fore", pa.string()),
        pa.field("orsak", pa.string()),
        pa.field("planerade_atgarder", pa.string()),
        pa.field("anvandare", pa.string()),
        pa.field("tidsatgang_min", pa.int32()),
        pa.field("filial", pa.string()),
        pa.field("registrerad", pa.timestamp("us"), nullable=False),
        pa.field("andrad", pa.timestamp("us")),
        pa.field("avslutad", pa.timestamp("us")),
    ]
)
"""One row per post; ``registrerad``, ``andrad`` and ``avslutad`` are local (Europe/Stockholm) and naive."""


PostIds = npt.NDArray[np.int64]
