"""The Swedish names of the DAGs and of their steps, in Airflow and on the pages.

DAG files import this module, so it imports nothing.
"""

from collections.abc import Mapping
from typing import Final

DAG_LABELS: Final[Mapping[str, str]] = {
    "waitlist_dry_run": "Väntelistor: torrkörning",
    "waitlist_migration": "Väntelistor: migrering av en våg",
    "waitlist_receipts": "Väntelistor: kvittenser",
    "waitlist_retention": "Väntelistor: gallring",
    "waitlist_watch": "Väntelistor: nattbevakning",
    "waitlist_withdrawal": "Väntelistor: återtagande",
}

STEP_LABELS: Final[Mapping[str, str]] = {
    "open_batch": "Öppna körningen",
    "plan_extract": "Räkna posterna i PMO",
    "extract": "Läsa PMO",
    "check_contract": "Granska utdraget",
    "find_duplicates": "Söka dubbletter",
    "check_persons": "Fråga personuppgiftstjänsten",
    "assess": "Bedöma varje post",
    "find_changes": "Jämföra med det som är överfört",
    "check_snapshot": "Granska identitet, datum och listor",
    "reconcile": "Granska bokningsbegäran och stämma av",
    "verify": "Visa resultatet",
    "report": "Sammanställa läget",
    "watch_gates": "Mäta grindarna",
    "note_outcomes": "Föra slutavräkningen",
    "mark_failed": "Stänga körningen som misslyckad",
    "conclude": "Intyga utfallet",
    "request_approval": "Begära beslut",
    "approve": "Vänta på beslut",
    "release": "Överföra",
    "verify_released": "Kontrollera det överförda",
    "hand_off": "Lämna över filer",
    "take_receipts": "Ta emot kvittenser",
    "watch_receipts": "Räkna obesvarade och obokade",
    "verify_releases": "Kontrollera allt som är överfört",
    "describe_release": "Kontrollera överföringen",
    "decide": "Vänta på svar om återtagande",
    "withdraw": "Återta",
    "take_back_hand_off": "Ta bort överlämnade filer",
    "watch_nights": "Bevaka nätterna",
    "remove_expired": "Gallra",
}
"""By task id."""
