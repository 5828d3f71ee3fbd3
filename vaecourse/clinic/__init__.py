"""What is wrong with a loss or a model: `audit` probes a loss, `diagnose` examines a trained model."""

from vaecourse.clinic import audit, diagnosis, findings
from vaecourse.clinic.audit import effective_objective
from vaecourse.clinic.diagnosis import diagnose

__all__ = ["audit", "diagnose", "diagnosis", "effective_objective", "findings"]
