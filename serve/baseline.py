"""The dense network's time beside the compiled one's, as the bundle's report has it."""

from __future__ import annotations

from pydantic import ValidationError

from rgp.bundle import Bundle
from rgp.errors import BundleError
from rgp.serve.answers import Baseline

METHOD = "median of the ratios dense / compiled, interleaved in random order over several builds, when it was compiled"


def measured(bundle: Bundle) -> tuple[Baseline, ...]:
    """The report's figures, one for each batch size; raises BundleError if they are malformed."""
    report = bundle.report
    try:
        return tuple(
            Baseline.model_validate(
                {**row, "environment": report["environment"], "source": "bundle", "age_s": None, "method": METHOD}
            )
            for row in report.get("latency", [])
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{bundle.path}/report.json: latency: {where}: {first['msg']}; compile again") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{bundle.path}/report.json: latency: {type(error).__name__}: {error}; compile again"
        ) from error
