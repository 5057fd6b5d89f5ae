'use strict';
// Applies the user's theme, and stores it for Django's script, which remembers one per browser.
// Runs after that script and before the first paint.
{
    const preferred = document.querySelector('meta[name="preferred-theme"]').content || 'auto';
    localStorage.setItem('theme', preferred);
    document.documentElement.dataset.theme = preferred;
}
