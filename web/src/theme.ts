// Light or dark: as the system says, until somebody chooses.

import { useEffect, useState } from "react";

export type Theme = "light" | "dark";

const CHOSEN = "shopsmart-ops-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function useTheme(): [Theme, () => void] {
  const [chosen, choose] = useState(localStorage.getItem(CHOSEN) as Theme | null);
  const [system, setSystem] = useState<Theme>(dark.matches ? "dark" : "light");
  const theme = chosen ?? system;

  useEffect(() => {
    const changed = (): void => setSystem(dark.matches ? "dark" : "light");
    dark.addEventListener("change", changed);
    return () => dark.removeEventListener("change", changed);
  }, []);

  useEffect(() => {
    document.documentElement.style.colorScheme = theme;
  }, [theme]);

  const toggle = (): void => {
    const next = theme === "dark" ? "light" : "dark";
    localStorage.setItem(CHOSEN, next);
    choose(next);
  };
  return [theme, toggle];
}
