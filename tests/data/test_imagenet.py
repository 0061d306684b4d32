from compress.data.imagenet import imagenet_names, imagenet_synsets


def test_imagenet_has_1000_names_in_class_order():
    names = imagenet_names()
    assert len(names) == 1000
    assert (names[0], names[1], names[281], names[999]) == ("tench", "goldfish", "tabby cat", "toilet paper")


def test_synsets_in_sorted_order_are_in_class_order():
    synsets = imagenet_synsets()
    assert len(set(synsets)) == 1000
    assert list(synsets) == sorted(synsets)
    assert synsets[0] == "n01440764"
