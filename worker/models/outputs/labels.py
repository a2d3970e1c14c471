"""Names of classes that are all different, where two classes may have the same label."""

from collections import Counter


def unique_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels as names that are all different: a label of several classes gets each class' index appended.

    ImageNet has two classes called crane: `crane (134)` and `crane (517)`.
    """
    many = Counter(labels)
    if len(many) == len(labels):
        return labels
    taken, names = {label for label, times in many.items() if times == 1}, []
    for index, label in enumerate(labels):
        name = label if many[label] == 1 else f"{label} ({index})"
        while many[label] > 1 and name in taken:  # another class already has this name
            name = f"{name} ({index})"
        taken.add(name)
        names.append(name)
    return tuple(names)
