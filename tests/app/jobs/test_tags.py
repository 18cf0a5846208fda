from app.jobs.tags import normal_tags


def test_the_same_tag_however_it_is_spelt_is_one_tag() -> None:
    assert normal_tags(["Blue  Sky", "blue sky", " BLUE\tSKY\n", "x\0"]) == ["blue sky", "x"]


def test_blank_tags_are_none() -> None:
    assert normal_tags(["", "  ", "\0"]) == []
