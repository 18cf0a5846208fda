"""Finds the job types: each module of this package whose ``JOB_TYPE`` is a ``JobType``."""

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import Any

import app.job_types as package
from app.jobs.job_type import JobType

AnyJobType = JobType[Any, Any]


@cache
def all_job_types() -> MappingProxyType[str, AnyJobType]:
    """Every job type by name, sorted. Two of the same name or queue are an error at start."""
    found: dict[str, AnyJobType] = {}
    queues: set[str] = set()
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        job_type = getattr(module, "JOB_TYPE", None)
        if not isinstance(job_type, JobType):
            continue
        if job_type.name in found or job_type.queue in queues:
            raise RuntimeError(f"{module.__name__}: the name or queue of {job_type.name} is taken")
        found[job_type.name] = job_type
        queues.add(job_type.queue)
    return MappingProxyType(found)
