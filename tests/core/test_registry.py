"""Names, and the nearest one to a name that is not there."""

import pytest

from cnnjax.core.errors import UserError
from cnnjax.core.registry import Registry, nearest


@pytest.fixture
def registry():
    registry = Registry("model")
    registry.register("lenet5", 5)
    registry.register("alexnet", 8)
    return registry


def test_it_is_a_mapping(registry):
    @registry.add("function")
    def function():
        pass

    assert registry["function"] is function
    assert dict(registry) == {"lenet5": 5, "alexnet": 8, "function": function}
    assert (len(registry), "lenet5" in registry, "lenet" in registry) == (3, True, False)
    with pytest.raises(TypeError):
        registry["new"] = 1


def test_missing_name_offers_the_nearest(registry):
    with pytest.raises(UserError, match=r"^unknown model lenet; did you mean lenet5\?$"):
        registry["lenet"]
    with pytest.raises(UserError, match=r"^unknown model zzz; known: alexnet, lenet5$"):
        registry["zzz"]
    with pytest.raises(UserError, match=r"^unknown loss a$"):
        Registry("loss")["a"]


def test_one_name_holds_one_thing(registry):
    registry.register("lenet5", 5)
    with pytest.raises(UserError, match="model lenet5 is registered already, by cnnjax; choose another name"):
        registry.register("lenet5", 6)


def test_nearest():
    assert nearest("optimizer.lrr", ["optimizer.lr", "optimizer.l1", "train.seed"]) == "; did you mean optimizer.lr?"
    assert nearest("q", ["b", "a"]) == "; known: a, b"
    assert nearest("q", []) == ""
    many = [f"net{number:02}" for number in range(30)]
    assert nearest("q", many) == f"; known: {', '.join(many[:10])} and 20 more"
