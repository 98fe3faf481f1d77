// Build and update the page. Text always becomes text nodes, so that nothing in the data of a
// caller, a colleague or a customer record can become markup (the page's content policy forbids
// it too).

/** Create an element. Attributes with the value false, null or undefined are omitted. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : String(child));
  }
  // What is cut where there is no room for it can be read whole.
  if (element.classList.contains("whole") && !element.title) element.title = element.textContent;
  return element;
}

const keyOf = (node) =>
  node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || null : null;

/**
 * Make `parent` contain the nodes in the array `wanted` with minimal changes, so that focus, scroll
 * positions and text being typed are preserved.
 */
export function morph(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  let present = parent.firstChild;
  for (const fresh of wanted) {
    const key = keyOf(fresh);
    let old = key ? keyed.get(key) : present;
    if (!key && old && keyOf(old)) old = null;
    if (old && old.nodeName === fresh.nodeName) {
      if (old !== present) parent.insertBefore(old, present);
      else present = present.nextSibling;
      keyed.delete(key);
      update(old, fresh);
    } else {
      parent.insertBefore(fresh, present);
    }
  }
  while (present) {
    const next = present.nextSibling;
    present.remove();
    present = next;
  }
}

function update(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Only the user opens and closes menus. What keys.js and focus.js have set is theirs.
    if (!fresh.hasAttribute(name) && name !== "open" && !(old.lasting || []).includes(name)) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.nodeName === "INPUT" && (old.type === "radio" || old.type === "checkbox")) {
    old.checked = fresh.hasAttribute("checked");
  }
  if (old.nodeName === "TEXTAREA" || "ticks" in old.dataset) return;
  morph(old, [...fresh.childNodes]);
}
