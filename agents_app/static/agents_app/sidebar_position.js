// Puts the sidebar's list where it was scrolled to on the page before. A plain script right
// after the list, since a module would run after the page has been drawn.

document.querySelector("[data-sidebar-chats]").scrollTop = sessionStorage.getItem("sidebar position");
