// Changing what is shown into something else, and leaving alone what is the same in both.
// Selections, the focus, scroll positions and clicks that have begun outlive the change.

/** Give an element the children `wanted`; its first `kept` ones are left as they are. */
export function morphChildren(element, wanted, kept = 0) {
    const shown = Array.from(element.childNodes).slice(kept);
    shown.slice(wanted.length).forEach((node) => node.remove());
    wanted.forEach((node, index) => {
        if (index < shown.length) {
            morph(shown[index], node);
        } else {
            element.append(node);
        }
    });
}

/** Make an element like `wanted` but for `kept`, inside it, which takes the place of `place`. */
export function morphAround(element, wanted, kept, place) {
    setAttributes(element, wanted);
    if (element === kept) {
        return;
    }
    const child = Array.from(element.childNodes).find((node) => node.contains(kept));
    const nodes = Array.from(wanted.childNodes);
    const at = nodes.findIndex((node) => node.contains(place));
    for (const node of Array.from(element.childNodes)) {
        if (node !== child) {
            node.remove();
        }
    }
    child.before(...nodes.slice(0, at));
    child.after(...nodes.slice(at + 1));
    morphAround(child, nodes[at], kept, place);
}

function morph(node, wanted) {
    if (node.isEqualNode(wanted)) {
        return;
    }
    if (node.nodeName !== wanted.nodeName) {
        node.replaceWith(wanted);
    } else if (node.nodeType === Node.TEXT_NODE) {
        const same = commonLength(node.data, wanted.data);
        node.replaceData(same, node.length - same, wanted.data.slice(same));
    } else {
        setAttributes(node, wanted);
        morphChildren(node, Array.from(wanted.childNodes));
    }
}

function setAttributes(element, wanted) {
    for (const name of element.getAttributeNames()) {
        if (!wanted.hasAttribute(name)) {
            element.removeAttribute(name);
        }
    }
    for (const { name, value } of wanted.attributes) {
        if (element.getAttribute(name) !== value) {
            element.setAttribute(name, value);
        }
    }
}

function commonLength(one, other) {
    let length = 0;
    while (length < one.length && one[length] === other[length]) {
        length += 1;
    }
    return length;
}
