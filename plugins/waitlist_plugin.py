"""Adds the dashboard to Airflow: the app under ``/migrering``, and **Migrering** in the menu.

Every process of Airflow imports this file, tasks too. So the dashboard's modules are imported at the first request.
"""

import functools
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from airflow.plugins_manager import AirflowPlugin

from waitlist_airflow import lineage_guard

PREFIX: Final = "/migrering"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@functools.cache
def _app() -> Callable[[Message, Receive, Send], Awaitable[None]]:
    from waitlist_airflow.web.app import create_app

    return create_app()


async def dashboard(scope: Message, receive: Receive, send: Send) -> None:
    """Answer a request, as ASGI has it."""
    await _app()(scope, receive, send)


class SlashAtTheEnd:
    """Redirects from ``/migrering`` to ``/migrering/``: a mounted app gets no request for the first."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        if path != PREFIX:
            await self._app(scope, receive, send)
            return
        # Relative, so that it is right behind a proxy too.
        location = f"{PREFIX[1:]}/".encode()
        await send({"type": "http.response.start", "status": 307, "headers": [(b"location", location)]})
        await send({"type": "http.response.body"})


class WaitlistPlugin(AirflowPlugin):
    """Registers the dashboard, and turns OpenLineage off where it would tell too much."""

    name = "waitlist"

    @classmethod
    def on_load(cls, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as Airflow has it
        """Airflow loads the plugins of this folder before those of providers, OpenLineage's among them."""
        lineage_guard.close()

    fastapi_apps = [{"app": dashboard, "url_prefix": PREFIX, "name": "Migrering"}]  # noqa: RUF012 - as Airflow has it
    fastapi_root_middlewares = [{"middleware": SlashAtTheEnd, "name": "Migrering"}]  # noqa: RUF012 - as Airflow has it
    external_views = [  # noqa: RUF012 - as Airflow has it
        {
            "name": "Migrering",
            "href": "migrering/",
            "url_route": "migrering",
            "destination": "nav",
            "nav_top_level": True,
            "icon": "migrering/static/icon.svg",
            "icon_dark_mode": "migrering/static/icon-dark.svg",
        },
        # Without a route of Airflow's it opens in a window of its own: the frame may not open one.
        {
            "name": "Migrering utan ram",
            "href": "migrering/",
            "destination": "nav",
            "nav_top_level": True,
            "icon": "migrering/static/icon.svg",
            "icon_dark_mode": "migrering/static/icon-dark.svg",
        },
        # A tab of each run, which leads to the run's page.
        {
            "name": "Körningen i Migrering",
            "href": "migrering/korning?dag={DAG_ID}&run={RUN_ID}",
            "url_route": "korningen-i-migrering",
            "destination": "dag_run",
        },
    ]
