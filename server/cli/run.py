"""`dialplane run`."""

from __future__ import annotations

import argparse
import logging
import os

from config.consistency import contradictions
from config.errors import ConfigError, Problem
from config.identity import with_identity
from config.load import Loaded, load_with_source
from config.settings import Settings
from config.state import holding_state
from media.errors import MediaError
from server import limits, preflight, signals
from server.cli.terminal import DONE, FAILED, complain
from server.observability.logs import set_up_logging
from server.reload import plan_reload
from server.storage.database import StorageError

log = logging.getLogger(__name__)


def run_server(options: argparse.Namespace) -> int:
    signals.ignore_until_ready()
    os.umask(0o077)  # recordings, the database, the worker's socket: for this user alone
    limits.raise_soft_limit()
    loaded = load_with_source(options.config)
    settings = loaded.settings
    if found := preflight.problems(loaded):
        raise ConfigError(found)
    set_up_logging(settings.server)
    with holding_state(settings.server.state_dir):
        for warning in preflight.warnings(loaded):
            log.warning("configuration_doubted", extra={"setting": warning.key, "why": warning.message, "remedy": warning.remedy})
        settings = with_identity(settings)
        from server.app import run  # the whole server: not needed to look at a call

        try:
            run(settings, lambda running: reread(options.config, running))
        except (StorageError, MediaError) as error:
            complain(f"dialplane: {_failed(loaded, error)}")
            return FAILED
    return DONE


def _failed(loaded: Loaded, error: StorageError | MediaError) -> Problem:
    """What no look beforehand could tell: the database does not answer, or the worker does not start."""
    path, remedy = ("storage", "url"), "Start the database, or mend the URL."
    if isinstance(error, MediaError):
        path, remedy = (
            ("media", "worker_binary"),
            "What the worker said is in the log above; `dialplane-media --help` says how it is started.",
        )
    return Problem(loaded.source.of(path), ".".join(path), str(error), remedy)


def reread(file: str | None, running: Settings) -> Settings:
    """The settings after a reload: the running ones with what can change, or as they are when the new ones cannot be used."""
    try:
        loaded = load_with_source(file)
        wanted = loaded.settings
        if found := list(contradictions(wanted)):
            raise ConfigError([one.problem(loaded.source) for one in found])
        stays = wanted.server.model_copy(update={"state_dir": running.server.state_dir})
        plan = plan_reload(running, with_identity(wanted.model_copy(update={"server": stays})))
    except ConfigError as error:
        log.error("reload_failed", extra={"problems": "; ".join(problem.in_a_line() for problem in error.problems)})
        return running
    if any(name.startswith("server.log_") for name in plan.changed):
        set_up_logging(plan.settings.server)
    waiting = (*plan.waiting, *(("server.state_dir",) if wanted.server.state_dir != running.server.state_dir else ()))
    if waiting:
        log.warning("reload_wants_restart", extra={"settings": ", ".join(waiting)})
    log.info("reloaded", extra={"changed": ", ".join(plan.changed) or "nothing"})
    return plan.settings
