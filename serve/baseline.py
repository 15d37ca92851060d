"""The dense network's time beside the compiled one's, as the bundle's report has it."""

from __future__ import annotations

from pydantic import ValidationError

from rgp.bundle import Bundle
from rgp.errors import BundleError
from rgp.serve.answers import Baseline


def measured(bundle: Bundle) -> Baseline | None:
    """The report's figures for batch 1, or None if it has none; raises BundleError if they are malformed."""
    report = bundle.report
    try:
        for figures in report.get("latency", []):
            if figures["batch"] == 1:
                return Baseline.model_validate({**figures, "environment": report["environment"], "source": "bundle"})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{bundle.path}/report.json: latency: {where}: {first['msg']}; compile again") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{bundle.path}/report.json: latency: {type(error).__name__}: {error}; compile again"
        ) from error
    return None
