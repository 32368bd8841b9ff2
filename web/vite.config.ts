import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// What `npm run dev` talks to: a running `shopsmart dev`.
const services = process.env["SHOPSMART_URL"] ?? "http://127.0.0.1:8080";
const paths = ["/admin", "/ops/config.json", "/trending", "/recommendations", "/products", "/users"];

export default defineConfig({
  // The page may stand below any path of a proxy.
  base: "./",
  plugins: [react()],
  server: { proxy: Object.fromEntries(paths.map((path) => [path, services])) },
  build: {
    target: "es2023",
    // Names without a hash: the server answers with an ETag, and what is committed changes in place.
    rollupOptions: {
      output: {
        entryFileNames: "ops.js",
        chunkFileNames: "ops-[name].js",
        assetFileNames: "ops[extname]",
      },
    },
  },
});
