"""``service-splitter``: shares of a service's requests for services and subsets."""

from __future__ import annotations

from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.mesh.entries.entry import Entry, EntryError, Number, check_meta, require_name
from portway.mesh.entries.http import HeaderModifiers

_WHOLE = 10_000  # hundredths of a percent


class Split(Wire):
    """One share, in percent with two decimals; no service is the splitter's own."""

    weight: Number
    service: str = ""
    service_subset: str = ""
    request_headers: HeaderModifiers | None = None
    response_headers: HeaderModifiers | None = None


class ServiceSplitter(Entry, tag="service-splitter"):
    """Shares that sum up to 100."""

    name: str
    splits: list[Split] | None

    def normalized(self) -> ServiceSplitter:
        splits = self.splits and [
            replace(split, weight=_number(_hundredths(split.weight) / 100)) for split in self.splits
        ]
        return replace(self, splits=splits)

    def check(self) -> None:
        require_name(self.name)
        if not self.splits:
            raise EntryError("no splits configured")
        check_meta(self.meta)
        seen = set()
        for split in self.splits:
            service = split.service or self.name
            if (service, split.service_subset) in seen:
                raise EntryError(
                    f'split destination occurs more than once: service="{service}", '
                    f'subset="{split.service_subset}", namespace="", partition=""'
                )
            seen.add((service, split.service_subset))
            if not 0 <= split.weight <= 100:
                raise EntryError(
                    f"split weights must be from 0 to 100, not {split.weight:.6f} "
                    f'(service "{service}")'
                )
        total = sum(_hundredths(split.weight) for split in self.splits)
        if total != _WHOLE:
            raise EntryError(f"the sum of all split weights must be 100, not {total / 100:f}")

    def reaches(self) -> list[str]:
        return sorted({split.service for split in self.splits or ()} - {"", self.name})


def _hundredths(weight: Number) -> int:
    return round(weight * 100)


def _number(weight: float) -> Number:
    """Whole weights as whole numbers, which is how they are shown."""
    return int(weight) if weight == int(weight) else weight
