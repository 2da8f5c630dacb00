"""Style and icons: the few files that are not pages. They need a login like all pages."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter, Depends, HTTPException
from starlette.responses import Response

from waitlist.access import Need
from waitlist_airflow.web.access import Requires

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

router: Final = APIRouter(prefix="/static")
_FILES: Final = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


@router.api_route("/{name}", methods=["GET", "HEAD"], dependencies=[Depends(Requires(Need.ANY_RIGHT))])
async def static_file(name: str) -> Response:
    """Return a file of the folder."""
    if name not in _FILES:
        raise HTTPException(404)
    headers = {"Cache-Control": "private, max-age=300"}
    return Response(_FILES[name], media_type=TYPES[Path(name).suffix], headers=headers)
