"""What can be wrong with the layout of the page that is shown, measured in it."""

# What is wrong with the layout, in words.
FAULTS = """() => {
    const found = new Set();
    const root = document.documentElement;
    const name = (one) => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 60)}`;
    const shown = (one) => one.checkVisibility({ visibilityProperty: true })
        && !one.closest(".unseen, .product, dialog .scroll") && one.offsetWidth > 1;
    for (const one of [...document.querySelectorAll("body *")].filter(shown)) {
        const box = one.getBoundingClientRect();
        if (box.right > root.clientWidth + 1 || box.left < -1) {
            found.add(`beside the page: ${name(one)}`);
        }
        const { overflowX, textOverflow, webkitLineClamp } = getComputedStyle(one);
        const lines = webkitLineClamp !== "none";
        const cut = (one.scrollWidth > one.clientWidth + 1 && overflowX !== "visible")
            || (lines && one.scrollHeight > one.clientHeight + 3);
        if (!cut || !one.textContent.trim() || one.matches("input, textarea")) continue;
        if (textOverflow !== "ellipsis" && !lines) found.add(`no ellipsis: ${name(one)}`);
        else if (!one.closest("[title]")) found.add(`nowhere to be read whole: ${name(one)}`);
    }
    // Words and controls that lie on each other, within each part of the page.
    const within = ".row, .parties, .strip, .bar-who, .controls, .own, .top, .card-head,"
        + " .log li, .pop > div, .calls label, .drop.groups li";
    const control = "button, summary, .tag, time";
    const seen = (one) => {
        const range = document.createRange();
        range.selectNodeContents(one);
        const text = range.getBoundingClientRect();
        const box = one.getBoundingClientRect();
        return one.matches("button, summary, .tag") ? box : {
            left: text.left, right: Math.min(text.right, box.right),
            top: text.top, bottom: Math.min(text.bottom, box.bottom),
        };
    };
    for (const group of document.querySelectorAll(within)) {
        // What is to be touched of a sign for copying is larger than what is to be seen.
        const leaves = [...group.querySelectorAll("*")].filter((one) => shown(one)
            && one.closest(".drop") === group.closest(".drop") && !one.closest(".copy")
            && (one.matches(control) || (!one.parentElement.closest(control)
                && !one.children.length && one.textContent.trim())));
        const around = group.getBoundingClientRect();
        for (const [n, one] of leaves.entries()) {
            const { left, right } = seen(one);
            if (right > around.right + 1 || left < around.left - 1) {
                found.add(`beside its ${group.className}: ${name(one)}`);
            }
            for (const other of leaves.slice(n + 1)) {
                const [a, b] = [seen(one), seen(other)];
                const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                if (!one.contains(other) && across > 1 && down > 1) {
                    found.add(`on each other: ${name(one)} / ${name(other)}`);
                }
            }
        }
    }
    return [...found];
}"""
