"""The page that lists every feature: `python -m tests.feature_catalogue` writes its tables anew."""

from pathlib import Path

from churn.features import FEATURES, Family, Feature

PAGE = Path(__file__).parents[1] / "docs" / "features.md"
_DIRECTIONS = {+1: "a rise", -1: "a fall", 0: "-"}


def page() -> str:
    """The page: what is written before the first table stays, the tables come from the registry."""
    parts = [PAGE.read_text(encoding="utf-8").split("\n\n## ")[0]]
    for family in Family:
        own = [feature for feature in FEATURES if feature.family is family]
        parts += [
            f"## {family.value.capitalize()}",
            f"{len(own)} features of the feed `{own[0].feed}`.",
            "\n".join(
                ["| name | unit | risk | en | ru |", "|---|---|---|---|---|", *map(_line, own)]
            ),
        ]
    return "\n\n".join(parts) + "\n"


def _line(feature: Feature) -> str:
    mark = "" if feature.controllable else "\\*"
    cells = (
        f"`{feature.name}`{mark}",
        feature.unit,
        _DIRECTIONS[feature.direction],
        feature.en,
        feature.ru,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
