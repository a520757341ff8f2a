import pytest

from churn.words import Language, counted, fill, number


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "0 дней"),
        (1, "1 день"),
        (2, "2 дня"),
        (3, "3 дня"),
        (4, "4 дня"),
        (5, "5 дней"),
        (10, "10 дней"),
        (11, "11 дней"),
        (12, "12 дней"),
        (14, "14 дней"),
        (19, "19 дней"),
        (20, "20 дней"),
        (21, "21 день"),
        (22, "22 дня"),
        (25, "25 дней"),
        (100, "100 дней"),
        (101, "101 день"),
        (104, "104 дня"),
        (111, "111 дней"),
        (112, "112 дней"),
        (114, "114 дней"),
        (121, "121 день"),
        (1001, "1\u00a0001 день"),
        (1011, "1\u00a0011 дней"),
    ],
)
def test_russian_counts_in_three_forms(n: int, words: str) -> None:
    assert counted(n, "days", "ru") == words


@pytest.mark.parametrize(
    ("noun", "one", "few", "many"),
    [
        ("orders", "заказ", "заказа", "заказов"),
        ("complaints", "жалоба", "жалобы", "жалоб"),
        ("returns", "возврат", "возврата", "возвратов"),
        ("cancellations", "отмена", "отмены", "отмен"),
        ("visits", "визит", "визита", "визитов"),
        ("categories", "категория", "категории", "категорий"),
    ],
)
def test_every_noun_has_its_russian_forms(noun: str, one: str, few: str, many: str) -> None:
    assert counted(1, noun, "ru") == f"1 {one}"
    assert counted(3, noun, "ru") == f"3 {few}"
    assert counted(5, noun, "ru") == f"5 {many}"
    assert counted(2.5, noun, "ru") == f"2,5 {few}"


@pytest.mark.parametrize(
    ("n", "words"),
    [(0, "0 orders"), (1, "1 order"), (2, "2 orders"), (1.5, "1.5 orders"), (1.04, "1 order")],
)
def test_english_counts_in_two_forms(n: float, words: str) -> None:
    assert counted(n, "orders", "en") == words


@pytest.mark.parametrize(
    ("value", "language", "text"),
    [
        (4.0, "en", "4"),
        (4.84, "en", "4.8"),
        (4.86, "ru", "4,9"),
        (1234567.5, "en", "1,234,567.5"),
        (1234567.5, "ru", "1\u00a0234\u00a0567,5"),
        (-0.01, "en", "0"),
        (-3.5, "ru", "-3,5"),
        (100.0, "en", "100"),
    ],
)
def test_numbers_are_written_as_the_language_does(
    value: float, language: Language, text: str
) -> None:
    assert number(value, language) == text


@pytest.mark.parametrize(
    ("template", "value", "language", "text"),
    [
        ("{x:days} ago", 41.3, "en", "41 days ago"),
        ("{x:days} ago", 0.6, "en", "1 day ago"),
        ("{x:days} назад", 21.2, "ru", "21 день назад"),
        ("spent {x:money}", 1234.5, "en", "spent 1,234.5 EUR"),
        ("потрачено {x:money}", 1234.56, "ru", "потрачено 1\u00a0234,56 EUR"),
        ("{x:percent} of orders", 0.345, "en", "34% of orders"),
        ("{x:percent} заказов", 0.5, "ru", "50 % заказов"),
        ("rated {x:number}", 3.25, "en", "rated 3.2"),
    ],
)
def test_templates_are_filled(template: str, value: float, language: Language, text: str) -> None:
    assert fill(template, {"x": value}, language, "EUR") == text


def test_money_without_a_currency_is_a_number() -> None:
    assert fill("{x:money}", {"x": 5.0}, "en") == "5"


def test_an_unknown_format_is_an_error_of_the_template() -> None:
    with pytest.raises(ValueError, match="furlongs"):
        fill("{x:furlongs}", {"x": 1.0}, "en")
